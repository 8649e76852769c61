"""Deploys a template into moto's server and prints, as JSON, what its APIs report.

    deploy_template.py ENDPOINT REGION TEMPLATE NAME=VALUE...
    deploy_template.py plan REGION TEMPLATE NAME=VALUE...        only prints the resources, and what the mapping reads

What moto's CloudFormation does not support (Firehose, alarms, bucket policies, log streams) is created through the services' APIs, from
the template's own properties; a resource that neither knows fails the deployment.
"""
import json
import re
import sys

import boto3
from cfnlint.decode.cfn_yaml import load
from moto.cloudformation.parsing import get_model_list

ENDPOINT, REGION, TEMPLATE, *PARAMETERS = sys.argv[1:]
NO_VALUE = object()


def client(name):
    return boto3.client(name, endpoint_url=ENDPOINT, region_name=REGION, aws_access_key_id='test', aws_secret_access_key='test')


class Deployment:
    def __init__(self):
        self.template = json.loads(json.dumps(load(TEMPLATE)))
        given = dict(parameter.split('=', 1) for parameter in PARAMETERS)
        self.parameters = {
            name: given.get(name, str(parameter.get('Default', '')))
            for name, parameter in self.template['Parameters'].items()
        }
        known = {model.cloudformation_type() for model in get_model_list()}
        wanted = {name: resource for name, resource in self.template['Resources'].items() if self.condition(resource.get('Condition'))}
        self.by_cloudformation = {name: resource for name, resource in wanted.items() if resource['Type'] in known}
        self.by_api = {name: resource for name, resource in wanted.items() if resource['Type'] not in known}
        self.physical = {}
        self.outputs = {}

    def condition(self, name):
        return name is None or self.holds(self.template['Conditions'][name])

    def holds(self, test):
        (function, arguments), = test.items()
        if function == 'Condition':
            return self.condition(arguments)
        if function == 'Fn::Not':
            return not self.holds(arguments[0])
        if function == 'Fn::And':
            return all(self.holds(each) for each in arguments)
        if function == 'Fn::Equals':
            left, right = (str(self.resolve(each)) for each in arguments)
            return left == right
        raise ValueError(function)

    def ref(self, name):
        if name in self.parameters:
            return self.parameters[name]
        if name == 'AWS::NoValue':
            return NO_VALUE
        return self.physical[name]

    def resolve(self, value):
        if isinstance(value, list):
            return [each for each in map(self.resolve, value) if each is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (function, arguments), = value.items()
            if function == 'Ref':
                return self.ref(arguments)
            if function == 'Fn::GetAtt':
                return self.outputs['GetAtt' + ''.join(arguments)]
            if function == 'Fn::If':
                return self.resolve(arguments[1] if self.condition(arguments[0]) else arguments[2])
            if function == 'Fn::Sub':
                value_of = lambda m: self.outputs[f'GetAtt{m[1]}{m[2]}'] if m[2] else self.ref(m[1])
                return re.sub(r'\$\{(\w+)(?:\.(\w+))?\}', value_of, arguments)
        resolved = {key: self.resolve(each) for key, each in value.items()}
        return {key: each for key, each in resolved.items() if each is not NO_VALUE}

    def without_no_values(self, value):
        """The same without list members that are AWS::NoValue: CloudFormation removes them, moto keeps a null."""
        if isinstance(value, dict):
            return {key: self.without_no_values(each) for key, each in value.items()}
        if not isinstance(value, list):
            return value

        def is_no_value(each):
            if not (isinstance(each, dict) and 'Fn::If' in each):
                return False
            condition, then, otherwise = each['Fn::If']
            return (then if self.condition(condition) else otherwise) == {'Ref': 'AWS::NoValue'}

        return [self.without_no_values(each) for each in value if not is_no_value(each)]

    def attributes(self):
        """GetAtt of what CloudFormation makes, in what it does not: as outputs of the stack, so that moto resolves them."""
        text = json.dumps(self.by_api)
        pairs = set(re.findall(r'\{"Fn::GetAtt": \["(\w+)", "(\w+)"\]\}', text)) | set(re.findall(r'\$\{(\w+)\.(\w+)\}', text))
        return {f'GetAtt{name}{attribute}': {'Value': {'Fn::GetAtt': [name, attribute]}} for name, attribute in pairs}

    def create(self):
        cloudformation = client('cloudformation')
        outputs = {name: output for name, output in self.template['Outputs'].items() if self.condition(output.get('Condition'))}
        body = {**self.template, 'Resources': self.without_no_values(self.by_cloudformation), 'Outputs': {**outputs, **self.attributes()}}
        cloudformation.create_stack(
            StackName='hr',
            TemplateBody=json.dumps(body),
            Parameters=[{'ParameterKey': name, 'ParameterValue': value} for name, value in self.parameters.items()],
            Capabilities=['CAPABILITY_IAM'],
        )
        stack = cloudformation.describe_stacks(StackName='hr')['Stacks'][0]
        assert stack['StackStatus'] == 'CREATE_COMPLETE', stack
        self.outputs = {output['OutputKey']: output['OutputValue'] for output in stack['Outputs']}
        for resource in cloudformation.describe_stack_resources(StackName='hr')['StackResources']:
            # moto gives a permission none.
            self.physical[resource['LogicalResourceId']] = resource.get('PhysicalResourceId', '')
        missing = set(self.by_cloudformation) - set(self.physical)
        assert not missing, missing
        makers = {
            'AWS::KinesisFirehose::DeliveryStream': self.make_delivery,
            'AWS::CloudWatch::Alarm': self.make_alarm,
            'AWS::S3::BucketPolicy': self.make_bucket_policy,
            'AWS::Logs::LogStream': self.make_log_stream,
            'AWS::SNS::Subscription': self.make_subscription,
        }
        # An alarm names what it watches.
        for name, resource in sorted(self.by_api.items(), key=lambda item: item[1]['Type'] == 'AWS::CloudWatch::Alarm'):
            self.physical[name] = makers[resource['Type']](self.resolve(resource['Properties']))

    def make_delivery(self, properties):
        hints = properties['ExtendedS3DestinationConfiguration']['BufferingHints']
        for key, value in hints.items():
            hints[key] = int(value)
        client('firehose').create_delivery_stream(**properties)
        return properties['DeliveryStreamName']

    def make_alarm(self, properties):
        properties['Threshold'] = float(properties['Threshold'])
        for key in ('EvaluationPeriods', 'DatapointsToAlarm'):
            if key in properties:
                properties[key] = int(properties[key])
        client('cloudwatch').put_metric_alarm(**properties)
        return properties['AlarmName']

    def make_bucket_policy(self, properties):
        client('s3').put_bucket_policy(Bucket=properties['Bucket'], Policy=json.dumps(properties['PolicyDocument']))
        return properties['Bucket']

    def make_subscription(self, properties):
        return client('sns').subscribe(**properties)['SubscriptionArn']

    def make_log_stream(self, properties):
        client('logs').create_log_stream(logGroupName=properties['LogGroupName'], logStreamName=properties['LogStreamName'])
        return properties['LogStreamName']

    def policy_of(self, arn):
        iam = client('iam')
        version = iam.get_policy(PolicyArn=arn)['Policy']['DefaultVersionId']
        return iam.get_policy_version(PolicyArn=arn, VersionId=version)['PolicyVersion']['Document']

    def describe(self):
        resources = {
            'outputs': self.outputs,
            'types': sorted({resource['Type'] for resource in [*self.by_cloudformation.values(), *self.by_api.values()]}),
            'byApi': sorted({resource['Type'] for resource in self.by_api.values()}),
            'stream': client('kinesis').describe_stream_summary(StreamName=self.outputs['StreamName'])['StreamDescriptionSummary'],
            'gatewayPolicy': self.policy_of(self.outputs['GatewayPolicyArn']),
            'alarms': client('cloudwatch').describe_alarms()['MetricAlarms'],
            'deliveries': sorted(client('firehose').list_delivery_streams()['DeliveryStreamNames']),
            'subscriptions': client('sns').list_subscriptions()['Subscriptions'],
        }
        if 'Delivery' in self.physical:
            delivery = client('firehose').describe_delivery_stream(DeliveryStreamName=self.physical['Delivery'])
            resources['delivery'] = delivery['DeliveryStreamDescription']
        if 'Consumer' in self.physical:
            mappings = client('lambda').list_event_source_mappings(FunctionName=self.outputs['ConsumerFunctionName'])
            resources['mappings'] = mappings['EventSourceMappings']
            function = client('lambda').get_function_configuration(FunctionName=self.outputs['ConsumerFunctionName'])
            resources['variables'] = function.get('Environment', {}).get('Variables', {})
            queue_url = self.outputs['OnFailureQueueUrl']
            queue = client('sqs').get_queue_attributes(QueueUrl=queue_url, AttributeNames=['All'])
            resources['queue'] = queue['Attributes']
        if 'Watch' in self.physical:
            watch = client('lambda').get_function_configuration(FunctionName=self.physical['Watch'])
            resources['watchVariables'] = watch['Environment']['Variables']
        return resources


    def plan(self):
        mapping = self.by_cloudformation.get('ConsumerMapping')
        source = mapping and mapping['Properties']['EventSourceArn']
        while source and 'Fn::If' in source:
            condition, then, otherwise = source['Fn::If']
            source = then if self.condition(condition) else otherwise
        return {'resources': sorted([*self.by_cloudformation, *self.by_api]), 'source': source}


deployment = Deployment()
if ENDPOINT == 'plan':
    print(json.dumps(deployment.plan()))
    sys.exit()
deployment.create()
print(json.dumps(deployment.describe(), default=str))
