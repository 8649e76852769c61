"""boto3 on every operation that it knows. Argument: the endpoint. Prints a line per operation; fails at the first that does not hold."""

import datetime
import sys

import boto3
import botocore.config
import botocore.exceptions

client = boto3.client(
    "kinesis",
    endpoint_url=sys.argv[1],
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
    config=botocore.config.Config(retries={"max_attempts": 1}, parameter_validation=False),
)
tried = set()


def ask(operation, **parameters):
    tried.add(operation)
    return client._make_api_call(operation, parameters)


def fails(code, operation, **parameters):
    try:
        ask(operation, **parameters)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == code, (operation, error.response)
    else:
        raise AssertionError(f"{operation} is not refused with {code}")


name = "boto3"
now = datetime.datetime.now(datetime.timezone.utc)
ask("CreateStream", StreamName=name, ShardCount=2)
assert name in [stream["StreamName"] for stream in ask("ListStreams")["StreamSummaries"]]
summary = ask("DescribeStreamSummary", StreamName=name)["StreamDescriptionSummary"]
assert abs(summary["StreamCreationTimestamp"] - now) < datetime.timedelta(minutes=5), summary
arn = summary["StreamARN"]
assert len(ask("DescribeStream", StreamARN=arn)["StreamDescription"]["Shards"]) == 2
data = bytes(range(256))
first = ask("PutRecord", StreamName=name, Data=data, PartitionKey="é", ExplicitHashKey="0")
records = [{"Data": b"two", "PartitionKey": "b"}, {"Data": b"", "PartitionKey": "c"}]
assert ask("PutRecords", StreamName=name, Records=records)["FailedRecordCount"] == 0
iterator = ask(
    "GetShardIterator",
    StreamName=name,
    ShardId=first["ShardId"],
    ShardIteratorType="AT_TIMESTAMP",
    Timestamp=now - datetime.timedelta(hours=1),
)["ShardIterator"]
record = ask("GetRecords", ShardIterator=iterator)["Records"][0]
assert (record["Data"], record["PartitionKey"], record["SequenceNumber"]) == (data, "é", first["SequenceNumber"]), record
assert abs(record["ApproximateArrivalTimestamp"] - now) < datetime.timedelta(minutes=5), record
ask("SplitShard", StreamName=name, ShardToSplit=first["ShardId"], NewStartingHashKey="1000")
ask("MergeShards", StreamName=name, ShardToMerge="shardId-000000000002", AdjacentShardToMerge="shardId-000000000003")
scaled = ask("UpdateShardCount", StreamName=name, TargetShardCount=3, ScalingType="UNIFORM_SCALING")
assert (scaled["CurrentShardCount"], scaled["TargetShardCount"]) == (2, 3), scaled
for kind, count in {"AT_LATEST": 3, "AT_TRIM_HORIZON": 2}.items():
    assert len(ask("ListShards", StreamName=name, ShardFilter={"Type": kind})["Shards"]) == count, kind
# Not boto3's paginator: it repeats StreamName beside NextToken, which the API reference forbids.
page = ask("ListShards", StreamName=name, MaxResults=2)
listed = [shard["ShardId"] for shard in page["Shards"]]
while "NextToken" in page:
    page = ask("ListShards", NextToken=page["NextToken"], MaxResults=2)
    listed += [shard["ShardId"] for shard in page["Shards"]]
assert listed == [shard["ShardId"] for shard in ask("ListShards", StreamName=name)["Shards"]], listed
ask("IncreaseStreamRetentionPeriod", StreamName=name, RetentionPeriodHours=48)
ask("DecreaseStreamRetentionPeriod", StreamName=name, RetentionPeriodHours=24)
ask("UpdateMaxRecordSize", StreamARN=arn, MaxRecordSizeInKiB=2048)
client.get_waiter("stream_exists").wait(StreamName=name)
fails("ResourceNotFoundException", "DescribeStream", StreamName="none-such")
fails("InvalidArgumentException", "CreateStream", StreamName="t", ShardCount=1, Tags={"a": "b"})
ask("DeleteStream", StreamName=name)
client.get_waiter("stream_not_exists").wait(StreamName=name)
for operation in client.meta.service_model.operation_names:
    if operation not in tried:
        # With an ARN, which the endpoint rules of some operations need.
        members = client.meta.service_model.operation_model(operation).input_shape.members
        arns = {member: arn for member in ("StreamARN", "ResourceARN", "ConsumerARN") if member in members}
        fails("UnknownOperationException", operation, **arns)
print(f"{len(client.meta.service_model.operation_names)} operations, {len(tried)} tried")
