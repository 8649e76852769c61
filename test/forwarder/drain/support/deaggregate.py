"""Takes records (JSON on stdin: key, data in base64) apart by aws_kinesis_agg; prints the user records of each."""
import json
import sys

from aws_kinesis_agg.deaggregator import deaggregate_records


def text_of(data):
    return data if isinstance(data, str) else data.decode()


answers = []
for record in json.load(sys.stdin):
    whole = {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["key"],
            "sequenceNumber": "1",
            "data": record["data"],
            "approximateArrivalTimestamp": 1.0,
        }
    }
    parts = deaggregate_records([whole])
    answers.append([{"key": part["kinesis"]["partitionKey"], "data": text_of(part["kinesis"]["data"])} for part in parts])
json.dump(answers, sys.stdout)
