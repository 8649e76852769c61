"""
awscli on every operation that it knows and the local stream does not support. Arguments: the endpoint, the ARN of a stream, the operations
that are supported. Prints a line per operation; fails at the first one that is not refused by its name.
"""

import contextlib
import io
import json
import sys

import awscli.clidriver

endpoint, arn, *supported = sys.argv[1:]
driver = awscli.clidriver.create_clidriver()
model = driver.session.get_service_model("kinesis")
tried = 0
for operation in model.operation_names:
    command = awscli.clidriver.xform_name(operation, "-")
    # The CLI leaves out SubscribeToShard, which streams its answer.
    if operation in supported or operation == "SubscribeToShard":
        continue
    members = model.operation_model(operation).input_shape.members
    # ARNs, which the endpoint rules of some operations need.
    given = {member: arn for member in ("StreamARN", "ResourceARN", "ConsumerARN") if member in members}
    error = io.StringIO()
    with contextlib.redirect_stderr(error):
        code = driver.main(["--endpoint-url", endpoint, "kinesis", command, "--cli-input-json", json.dumps(given)])
    assert code != 0 and "(UnknownOperationException)" in error.getvalue(), (command, code, error.getvalue())
    print(command, "is refused")
    tried += 1
print(f"{tried} operations are refused")
