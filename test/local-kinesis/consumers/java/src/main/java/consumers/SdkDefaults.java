package consumers;

import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.*;

/**
 * AWS' SDK for Java with its defaults (CBOR; the asynchronous client over HTTP/2), on each operation of the local stream. Arguments: the
 * endpoint. It prints a line for each step that held, and fails at the first that does not.
 */
public final class SdkDefaults {
    private static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
        System.out.println("ok " + what);
    }

    private interface Call {
        void run() throws Exception;
    }

    private static void fails(String code, Call call) throws Exception {
        String got = "none";
        try {
            call.run();
        } catch (CompletionException e) {
            got = e.getCause() instanceof AwsServiceException s ? s.awsErrorDetails().errorCode() : String.valueOf(e.getCause());
        } catch (AwsServiceException e) {
            got = e.awsErrorDetails().errorCode();
        }
        check(got.equals(code), "is refused with " + code + ", was " + got);
    }

    public static void main(String[] args) throws Exception {
        URI endpoint = URI.create(args[0]);
        var credentials = StaticCredentialsProvider.create(AwsBasicCredentials.create("test", "test"));
        try (KinesisClient sync = KinesisClient.builder()
                        .endpointOverride(endpoint)
                        .region(Region.US_EAST_1)
                        .credentialsProvider(credentials)
                        .build();
                KinesisAsyncClient async = KinesisAsyncClient.builder()
                        .endpointOverride(endpoint)
                        .region(Region.US_EAST_1)
                        .credentialsProvider(credentials)
                        .build()) {
            synchronously(sync);
            asynchronously(async);
        }
        System.out.println("done");
    }

    private static void synchronously(KinesisClient client) throws Exception {
        String name = "java-sync";
        client.createStream(r -> r.streamName(name).shardCount(2).maxRecordSizeInKiB(2048));
        check(client.listStreams().streamNames().contains(name), "ListStreams");
        var summary = client.describeStreamSummary(r -> r.streamName(name)).streamDescriptionSummary();
        check(summary.openShardCount() == 2 && summary.streamStatus() == StreamStatus.ACTIVE, "DescribeStreamSummary");
        check(
                Duration.between(summary.streamCreationTimestamp(), Instant.now()).abs().toMinutes() < 5,
                "StreamCreationTimestamp is " + summary.streamCreationTimestamp());
        String arn = summary.streamARN();
        check(client.describeStream(r -> r.streamARN(arn)).streamDescription().shards().size() == 2, "DescribeStream");
        check(client.listShards(r -> r.streamName(name).shardFilter(f -> f.type(ShardFilterType.AT_TIMESTAMP).timestamp(Instant.now())))
                        .shards().size() == 2, "ListShards with a time");
        byte[] all = new byte[256];
        for (int i = 0; i < 256; i++) all[i] = (byte) i;
        String first = client.putRecord(r -> r.streamName(name).partitionKey("é").explicitHashKey("0").data(SdkBytes.fromByteArray(all)))
                .sequenceNumber();
        var answer = client.putRecords(r -> r.streamName(name).records(
                entry("b", "two"), entry("c", "three")));
        check(answer.failedRecordCount() == 0 && answer.records().size() == 2, "PutRecords");
        String iterator = client.getShardIterator(r -> r.streamName(name)
                        .shardId("shardId-000000000000")
                        .shardIteratorType(ShardIteratorType.AT_TIMESTAMP)
                        .timestamp(Instant.now().minusSeconds(600)))
                .shardIterator();
        var records = client.getRecords(r -> r.shardIterator(iterator)).records();
        check(java.util.Arrays.equals(records.get(0).data().asByteArray(), all), "each byte comes back");
        check(records.get(0).partitionKey().equals("é") && records.get(0).sequenceNumber().equals(first), "key and sequence number");
        check(Duration.between(records.get(0).approximateArrivalTimestamp(), Instant.now()).abs().toMinutes() < 5, "time of arrival");
        client.splitShard(r -> r.streamName(name).shardToSplit("shardId-000000000000").newStartingHashKey("1000"));
        client.mergeShards(r -> r.streamName(name).shardToMerge("shardId-000000000002").adjacentShardToMerge("shardId-000000000003"));
        client.updateShardCount(r -> r.streamName(name).targetShardCount(3).scalingType(ScalingType.UNIFORM_SCALING));
        check(client.listShards(r -> r.streamName(name).shardFilter(f -> f.type(ShardFilterType.AT_LATEST))).shards().size() == 3,
                "UpdateShardCount");
        client.increaseStreamRetentionPeriod(r -> r.streamName(name).retentionPeriodHours(48));
        client.decreaseStreamRetentionPeriod(r -> r.streamName(name).retentionPeriodHours(24));
        client.updateMaxRecordSize(r -> r.streamARN(arn).maxRecordSizeInKiB(1024));
        fails("ResourceNotFoundException", () -> client.describeStream(r -> r.streamName("none-such")));
        fails("InvalidArgumentException", () -> client.getRecords(r -> r.shardIterator("AAAArubbish")));
        fails("InvalidArgumentException", () -> client.createStream(r -> r.streamName("d").streamModeDetails(m -> m.streamMode(StreamMode.ON_DEMAND))));
        fails("ResourceInUseException", () -> client.createStream(r -> r.streamName(name).shardCount(1)));
        fails("UnknownOperationException", () -> client.registerStreamConsumer(r -> r.streamARN(arn).consumerName("c")));
        client.deleteStream(r -> r.streamName(name));
        fails("ResourceNotFoundException", () -> client.describeStreamSummary(r -> r.streamName(name)));
    }

    private static PutRecordsRequestEntry entry(String key, String data) {
        return PutRecordsRequestEntry.builder()
                .partitionKey(key)
                .data(SdkBytes.fromString(data, StandardCharsets.UTF_8))
                .build();
    }

    private static void asynchronously(KinesisAsyncClient client) throws Exception {
        String name = "java-async";
        client.createStream(r -> r.streamName(name).shardCount(1)).join();
        var puts = new ArrayList<java.util.concurrent.CompletableFuture<PutRecordResponse>>();
        for (int i = 0; i < 100; i++) {
            String text = "r" + i;
            puts.add(client.putRecord(r -> r.streamName(name).partitionKey("k").data(SdkBytes.fromUtf8String(text))));
        }
        for (var put : puts) put.get(20, TimeUnit.SECONDS);
        String iterator = client.getShardIterator(r -> r.streamName(name)
                        .shardId("shardId-000000000000")
                        .shardIteratorType(ShardIteratorType.TRIM_HORIZON))
                .join()
                .shardIterator();
        List<software.amazon.awssdk.services.kinesis.model.Record> records =
                client.getRecords(r -> r.shardIterator(iterator)).join().records();
        check(records.size() == 100, "100 concurrent puts over HTTP/2");
        client.putRecords(r -> r.streamName(name).records(PutRecordsRequestEntry.builder()
                .partitionKey("big").data(SdkBytes.fromByteArray(new byte[1_000_000])).build())).join();
        check(client.getRecords(r -> r.shardIterator(iterator)).join().records().get(100).data().asByteArrayUnsafe().length == 1_000_000,
                "a megabyte over HTTP/2, both ways");
        fails("ResourceNotFoundException", () -> client.describeStream(r -> r.streamName("none-such")).join());
        fails("UnknownOperationException", () -> client.subscribeToShard(
                        r -> r.consumerARN("arn:aws:kinesis:us-east-1:000000000000:stream/" + name + "/consumer/c:1")
                                .shardId("shardId-000000000000")
                                .startingPosition(p -> p.type(ShardIteratorType.LATEST)),
                        SubscribeToShardResponseHandler.builder().subscriber(event -> {}).onError(e -> {}).build())
                .join());
        client.deleteStream(r -> r.streamName(name)).join();
    }
}
