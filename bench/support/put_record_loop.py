"""The script that the gateway replaces: one put_record a reading, one after the other."""
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
print(json.dumps({"event": "done", "readings": readings, "seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu}), flush=True)
