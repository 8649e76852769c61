"""Makes an IAM user in moto with the actions of the gateway's policy and no others; prints its key.

moto checks a Kinesis call against the resource "*": the resource of the policy is tested apart, here it is widened.
"""
import json
import sys

import boto3

ENDPOINT, POLICY = sys.argv[1:]
iam = boto3.client('iam', endpoint_url=ENDPOINT, region_name='us-east-1', aws_access_key_id='test', aws_secret_access_key='test')
iam.create_user(UserName='front-desk')
policy = json.loads(POLICY)
for statement in policy['Statement']:
    statement['Resource'] = '*'
iam.put_user_policy(UserName='front-desk', PolicyName='gateway', PolicyDocument=json.dumps(policy))
key = iam.create_access_key(UserName='front-desk')['AccessKey']
print(json.dumps({'accessKeyId': key['AccessKeyId'], 'secretAccessKey': key['SecretAccessKey']}))
