"""A consumer as it was written for the script before this: it knows {"timestamp", "heart_rate"} and nothing else.

    old_consumer.py ENDPOINT STREAM COUNT
"""
import datetime
import json
import sys

import boto3

endpoint, stream, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
kinesis = boto3.client('kinesis', endpoint_url=endpoint, region_name='us-east-1', aws_access_key_id='test', aws_secret_access_key='test')
shard = kinesis.describe_stream(StreamName=stream)['StreamDescription']['Shards'][0]['ShardId']
iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType='TRIM_HORIZON')['ShardIterator']
seen = 0
while seen < count:
    answer = kinesis.get_records(ShardIterator=iterator, Limit=100)
    iterator = answer['NextShardIterator']
    for record in answer['Records']:
        reading = json.loads(record['Data'])
        at = datetime.datetime.strptime(reading['timestamp'], '%Y-%m-%dT%H:%M:%S.%fZ')
        print(f"{at.isoformat()} {reading['heart_rate']:d}")
        seen += 1
