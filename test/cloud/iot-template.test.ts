import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cannotRun } from '../support/cannot-run.ts';
import { cloudPython } from './support/moto.ts';
import { testConfig } from '../support/test-config.ts';

const run = promisify(execFile);
const at = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
const TEMPLATE = at('../../cloud/iot-template.yaml');

interface Template {
  Parameters: Record<string, { Default?: string; Description?: string; AllowedPattern?: string }>;
  Resources: Record<string, { Type: string; Properties: Record<string, unknown> }>;
  Outputs: Record<string, unknown>;
}

async function template(python: string): Promise<Template> {
  return JSON.parse((await run(python, [at('support/template_json.py'), TEMPLATE])).stdout) as Template;
}

test('cfn-lint reports nothing about the template for boxes with certificates, not even a remark', async (t) => {
  const python = await cloudPython();
  if (python === undefined) return cannotRun(t, 'no Python with moto and cfn-lint');
  const lint = path.join(path.dirname(python), 'cfn-lint');
  const options = ['--include-checks', 'I', '--non-zero-exit-code', 'informational', '--regions', 'us-east-1', 'eu-west-1', '--'];
  assert.equal((await run(lint, [...options, TEMPLATE])).stdout.trim(), '');
});

test('a certificate gets the rights of the role only for a thing whose name fits, and the role is for the provider alone', async (t) => {
  const python = await cloudPython();
  if (python === undefined) return cannotRun(t, 'no Python with moto and cfn-lint');
  const { Resources } = await template(python);
  assert.deepEqual(
    Object.values(Resources)
      .map(({ Type }) => Type)
      .sort(),
    ['AWS::IAM::Role', 'AWS::IoT::Policy', 'AWS::IoT::RoleAlias'],
  );
  const role = Resources['BoxRole']?.Properties;
  assert.deepEqual(role?.['AssumeRolePolicyDocument'], {
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Principal: { Service: 'credentials.iot.amazonaws.com' }, Action: 'sts:AssumeRole' }],
  });
  // What a box may do is the policy of the stream's template, and nothing else.
  assert.deepEqual(role['ManagedPolicyArns'], [{ Ref: 'GatewayPolicyArn' }]);
  const [policy, ...others] = role['Policies'] as { PolicyDocument: { Statement: unknown } }[];
  assert.deepEqual(others, []);
  assert.deepEqual(policy?.PolicyDocument.Statement, [
    {
      Effect: 'Deny',
      Action: '*',
      Resource: '*',
      Condition: { StringNotLike: { 'credentials-iot:ThingName': { Ref: 'ThingNamePattern' } } },
    },
  ]);
  const iot = Resources['BoxPolicy']?.Properties['PolicyDocument'] as { Statement: Record<string, unknown>[] };
  const [statement, ...more] = iot.Statement;
  assert.deepEqual(more, []);
  assert.deepEqual(
    [statement?.['Effect'], statement?.['Action'], statement?.['Resource']],
    ['Allow', 'iot:AssumeRoleWithCertificate', { 'Fn::GetAtt': ['RoleAlias', 'RoleAliasArn'] }],
  );
  assert.match(JSON.stringify(statement?.['Condition']), /iot:Connection\.Thing\.IsAttached.*iot:Connection\.Thing\.ThingName/);
});

test("the names that the template allows are those that the box's settings allow", async (t) => {
  const python = await cloudPython();
  if (python === undefined) return cannotRun(t, 'no Python with moto and cfn-lint');
  const { Parameters, Outputs } = await template(python);
  for (const [name, { Description = '' }] of Object.entries(Parameters)) assert.ok(Description.length > 20, name);
  const alias = new RegExp(`^${Parameters['RoleAliasName']?.AllowedPattern}$`);
  const iot = {
    KINESIS_IOT_ENDPOINT: 'a.credentials.iot.eu-west-1.amazonaws.com',
    KINESIS_IOT_CERT_FILE: 'c',
    KINESIS_IOT_KEY_FILE: 'k',
  };
  const accepts = (value: string): boolean => {
    try {
      return testConfig({ ...iot, KINESIS_IOT_ROLE_ALIAS: value }).KINESIS_IOT_ROLE_ALIAS === value;
    } catch {
      return false;
    }
  };
  for (const value of ['hr-gateway', 'a=b,c@d_e', 'x'.repeat(128), 'a b', 'x'.repeat(129), 'a/b'])
    assert.equal(accepts(value), alias.test(value), value);
  assert.deepEqual(Object.keys(Outputs).sort(), ['BoxPolicyName', 'BoxRoleArn', 'RoleAlias']);
  // Settings that belong together are demanded together.
  assert.throws(
    () => testConfig({ KINESIS_IOT_ENDPOINT: iot.KINESIS_IOT_ENDPOINT }),
    /KINESIS_IOT_ROLE_ALIAS, KINESIS_IOT_CERT_FILE, KINESIS_IOT_KEY_FILE: must be set together with KINESIS_IOT_ENDPOINT/,
  );
});
