"""
Powertools for AWS Lambda and aws_kinesis_agg on the records of a stream, in events as Lambda makes them. Arguments: the endpoint, the
stream. Prints JSON: what the batch processors processed and reported, and the payloads of aggregated records.
"""

import base64
import json
import sys

import boto3
from aws_kinesis_agg.deaggregator import deaggregate_records
from aws_lambda_powertools.utilities.batch import AsyncBatchProcessor, BatchProcessor, EventType
from aws_lambda_powertools.utilities.batch import async_process_partial_response, process_partial_response
from aws_lambda_powertools.utilities.data_classes import KinesisStreamEvent

client = boto3.client(
    "kinesis", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
)
stream = sys.argv[2]
summary = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
event = {"Records": []}
for shard in client.list_shards(StreamName=stream)["Shards"]:
    iterator = client.get_shard_iterator(StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    for record in client.get_records(ShardIterator=iterator["ShardIterator"])["Records"]:
        event["Records"].append(
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record["PartitionKey"],
                    "sequenceNumber": record["SequenceNumber"],
                    "data": base64.b64encode(record["Data"]).decode(),
                    "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{shard['ShardId']}:{record['SequenceNumber']}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
                "awsRegion": "us-east-1",
                "eventSourceARN": summary["StreamARN"],
            }
        )

plain = {"Records": [r for r in event["Records"] if base64.b64decode(r["kinesis"]["data"])[:1] == b"{"]}
aggregated = {"Records": [r for r in event["Records"] if r not in plain["Records"]]}
processed = []


def handle(record):
    reading = record.kinesis.data_as_json()
    if reading["heart_rate"] > 200:
        raise ValueError("refused")
    processed.append(reading["seq"])


async def handle_async(record):
    handle(record)


reported = process_partial_response(
    event=plain, record_handler=handle, processor=BatchProcessor(event_type=EventType.KinesisDataStreams), context=None
)
synchronous, processed = processed, []
reported_async = async_process_partial_response(
    event=plain, record_handler=handle_async, processor=AsyncBatchProcessor(event_type=EventType.KinesisDataStreams), context=None
)
print(
    json.dumps(
        {
            "processed": synchronous,
            "processedAsync": sorted(processed),
            "reported": reported,
            "reportedAsync": reported_async,
            "typed": [record.kinesis.data_as_json()["seq"] for record in KinesisStreamEvent(plain).records],
            "aggregated": [json.loads(base64.b64decode(r["kinesis"]["data"]))["seq"] for r in deaggregate_records(aggregated["Records"])],
        }
    )
)
