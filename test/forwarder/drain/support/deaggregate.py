"""Takes records (JSON on stdin: key, data in base64) apart by aws_kinesis_agg; prints the user records of each."""
import json
import sys

from aws_kinesis_agg.deaggregator import deaggregate_records

answers = []
for record in json.load(sys.stdin):
    whole = {"kinesis": {"kinesisSchemaVersion": "1.0", "partitionKey": record["key"], "sequenceNumber": "1", "data": record["data"], "approximateArrivalTimestamp": 1.0}}
    parts = deaggregate_records([whole])
    answers.append([{"key": part["kinesis"]["partitionKey"], "data": part["kinesis"]["data"] if isinstance(part["kinesis"]["data"], str) else part["kinesis"]["data"].decode()} for part in parts])
json.dump(answers, sys.stdout)
