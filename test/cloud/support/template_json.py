"""Prints a template as JSON, with its short tags in their long form.

    template_json.py TEMPLATE
"""
import json
import sys

from cfnlint.decode.cfn_yaml import load

print(json.dumps(load(sys.argv[1])))
