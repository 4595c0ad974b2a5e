"""Tags and configurations with boto3. Arguments: bucket, endpoints separated by commas."""
import itertools
import sys

import boto3
import botocore.exceptions

bucket, endpoints = sys.argv[1], sys.argv[2].split(",")
clients = [boto3.client("s3", endpoint_url=e) for e in endpoints]
rounds = itertools.cycle(clients)


def s3():
    return next(rounds)


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code, (code, e.response)
        return e.response
    raise AssertionError("want " + code)


def tag_set(**tags):
    return {"TagSet": [{"Key": k, "Value": v} for k, v in tags.items()]}


s3().create_bucket(Bucket=bucket)

# tags of objects
of = {"Bucket": bucket, "Key": "tagged"}
s3().put_object(Body=b"x" * 100, Tagging="a=1&b=2%203", **of)
before = s3().head_object(**of)
for _ in endpoints:
    assert s3().get_object_tagging(**of)["TagSet"] == tag_set(a="1", b="2 3")["TagSet"]
    assert s3().get_object(**of)["TagCount"] == 2
s3().put_object_tagging(Tagging=tag_set(c="3"), **of)
after = s3().head_object(**of)
assert after["ETag"] == before["ETag"] and after["LastModified"] == before["LastModified"]
s3().copy_object(Bucket=bucket, Key="copied", CopySource=of)
assert s3().get_object_tagging(Bucket=bucket, Key="copied")["TagSet"] == tag_set(c="3")["TagSet"]
s3().copy_object(Bucket=bucket, Key="copied", CopySource=of, TaggingDirective="REPLACE", Tagging="d=4")
assert s3().get_object_tagging(Bucket=bucket, Key="copied")["TagSet"] == tag_set(d="4")["TagSet"]
refused("InvalidTag", s3().put_object_tagging, Tagging=tag_set(**{"k%d" % i: "v" for i in range(11)}), **of)
refused("InvalidTag", s3().put_object_tagging, Tagging=tag_set(k="v" * 257), **of)
refused("NoSuchKey", s3().put_object_tagging, Bucket=bucket, Key="nothing", Tagging=tag_set(a="b"))
assert s3().delete_object_tagging(**of)["ResponseMetadata"]["HTTPStatusCode"] == 204
assert s3().get_object_tagging(**of)["TagSet"] == []
