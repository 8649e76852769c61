"""The script that the product replaces: one put_record per reading, one after another."""
import json
import os
import time

import boto3

client = boto3.client("kinesis", endpoint_url=os.environ["ENDPOINT"], region_name=os.environ["AWS_REGION"])
reading = os.environ["READING"].encode()
seconds = float(os.environ["SECONDS"])


def put() -> None:
    client.put_record(StreamName="bench", Data=reading, PartitionKey="strap-1")


for _ in range(5):
    put()
began, cpu, readings = time.monotonic(), time.process_time(), 0
while time.monotonic() - began < seconds:
    put()
    readings += 1
seconds_taken, cpu_seconds = time.monotonic() - began, time.process_time() - cpu
print(json.dumps({"event": "done", "readings": readings, "seconds": seconds_taken, "cpu_seconds": cpu_seconds}), flush=True)
