// AWS' SDK for Go with its defaults, on each operation of the local stream. Argument: the endpoint. It fails at the first step that does
// not hold.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

func check(holds bool, what string, detail ...any) {
	if !holds {
		fmt.Println("FAILED", what, detail)
		os.Exit(1)
	}
	fmt.Println("ok", what)
}

func must[T any](answer T, err error) T {
	if err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
	return answer
}

func fails(code string, err error) {
	var api smithy.APIError
	check(errors.As(err, &api) && api.ErrorCode() == code, "is refused with "+code, err)
}

func main() {
	ctx := context.Background()
	client := kinesis.New(kinesis.Options{
		BaseEndpoint: aws.String(os.Args[1]),
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	name := aws.String("go")
	must(client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(2)}))
	listed := must(client.ListStreams(ctx, &kinesis.ListStreamsInput{}))
	check(len(listed.StreamNames) == 2, "ListStreams", listed.StreamNames)
	summary := must(client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name})).StreamDescriptionSummary
	check(*summary.OpenShardCount == 2, "DescribeStreamSummary")
	check(time.Since(*summary.StreamCreationTimestamp).Abs() < 5*time.Minute, "StreamCreationTimestamp")
	described := must(client.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamARN: summary.StreamARN})).StreamDescription
	check(len(described.Shards) == 2, "DescribeStream")
	data := make([]byte, 256)
	for i := range data {
		data[i] = byte(i)
	}
	put := must(client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, PartitionKey: aws.String("é"), ExplicitHashKey: aws.String("0"), Data: data}))
	many := must(client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: name, Records: []types.PutRecordsRequestEntry{
		{PartitionKey: aws.String("b"), Data: []byte("two")}, {PartitionKey: aws.String("c"), Data: []byte("three")},
	}}))
	check(*many.FailedRecordCount == 0 && len(many.Records) == 2, "PutRecords")
	before := time.Now().Add(-time.Hour)
	iterator := must(client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: name, ShardId: put.ShardId, ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &before,
	}))
	read := must(client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator.ShardIterator})).Records
	check(bytes.Equal(read[0].Data, data) && *read[0].PartitionKey == "é" && *read[0].SequenceNumber == *put.SequenceNumber, "GetRecords")
	check(time.Since(*read[0].ApproximateArrivalTimestamp).Abs() < 5*time.Minute, "time of arrival")
	must(client.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: name, ShardToSplit: put.ShardId, NewStartingHashKey: aws.String("1000")}))
	must(client.MergeShards(ctx, &kinesis.MergeShardsInput{
		StreamName: name, ShardToMerge: aws.String("shardId-000000000002"), AdjacentShardToMerge: aws.String("shardId-000000000003"),
	}))
	must(client.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{StreamName: name, TargetShardCount: aws.Int32(3), ScalingType: types.ScalingTypeUniformScaling}))
	now := time.Now()
	for kind, count := range map[types.ShardFilterType]int{types.ShardFilterTypeAtLatest: 3, types.ShardFilterTypeAtTrimHorizon: 2} {
		shards := must(client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: name, ShardFilter: &types.ShardFilter{Type: kind}})).Shards
		check(len(shards) == count, "ListShards "+string(kind), len(shards))
	}
	must(client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: name, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: &now}}))
	pages, shards := kinesis.ListShardsInput{StreamName: name, MaxResults: aws.Int32(2)}, 0
	for {
		page := must(client.ListShards(ctx, &pages))
		shards += len(page.Shards)
		if page.NextToken == nil {
			break
		}
		pages = kinesis.ListShardsInput{NextToken: page.NextToken, MaxResults: aws.Int32(2)}
	}
	check(shards > 5, "pages of ListShards", shards)
	must(client.IncreaseStreamRetentionPeriod(ctx, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: name, RetentionPeriodHours: aws.Int32(48)}))
	must(client.DecreaseStreamRetentionPeriod(ctx, &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: name, RetentionPeriodHours: aws.Int32(24)}))
	must(client.UpdateMaxRecordSize(ctx, &kinesis.UpdateMaxRecordSizeInput{StreamARN: summary.StreamARN, MaxRecordSizeInKiB: aws.Int32(2048)}))
	_, err := client.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: aws.String("none-such")})
	var missing *types.ResourceNotFoundException
	check(errors.As(err, &missing), "ResourceNotFoundException is a type of its own", err)
	_, err = client.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: summary.StreamARN, ConsumerName: aws.String("c")})
	fails("UnknownOperationException", err)
	_, err = client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("t"), ShardCount: aws.Int32(1), Tags: map[string]string{"a": "b"}})
	fails("InvalidArgumentException", err)
	must(client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: name}))
	fmt.Println("done")
}
