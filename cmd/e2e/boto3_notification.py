"""Events of buckets with boto3. Arguments: bucket, endpoints separated by commas. HOOK is a webhook that tells what it got at GET /;
it is the destination "hook", and "dead" is one that does not answer."""
import itertools
import json
import os
import sys
import time
import urllib.request

import boto3
import botocore.exceptions

bucket, endpoints = sys.argv[1], sys.argv[2].split(",")
rounds = itertools.cycle([boto3.client("s3", endpoint_url=e) for e in endpoints])
ARN = "arn:aisle:sqs::hook:webhook"


def s3():
    return next(rounds)


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code, (code, e.response)
        return e.response
    raise AssertionError("want " + code)


def told():
    with urllib.request.urlopen(os.environ["HOOK"]) as r:
        return [m for m in json.load(r) if m.get("Bucket") == bucket or m.get("Records", [{}])[0].get("s3", {}).get("bucket", {}).get("name") == bucket]


def events(key, *names):
    """Waits until exactly these events of a key were told, one at least, in their order."""
    deadline = time.time() + 60
    while True:
        of = [m["Records"][0] for m in told() if "Records" in m and m["Records"][0]["s3"]["object"]["key"] == key]
        of.sort(key=lambda r: r["s3"]["object"]["sequencer"])
        got = [k for k, _ in itertools.groupby(r["eventName"] for r in of)]
        if got == list(names):
            return of
        assert time.time() < deadline, (key, got, names)
        time.sleep(0.1)


def configure(*rules):
    s3().put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": list(rules)})


s3().create_bucket(Bucket=bucket)
empty = s3().get_bucket_notification_configuration(Bucket=bucket)
assert not {k for k in empty if k != "ResponseMetadata"}, empty
s3().put_object(Bucket=bucket, Key="images/before.jpg", Body=b"x")

rule = {"Id": "images", "QueueArn": ARN, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "images/"}, {"Name": "suffix", "Value": ".jpg"}]}}}
for arn in ("arn:aws:sqs:us-east-1:123456789012:queue", "arn:aisle:sqs::other:webhook", "arn:aisle:sqs::hook:nats", "arn:aisle:sqs::dead:webhook", "x"):
    try:
        configure(dict(rule, QueueArn=arn))
        raise AssertionError(arn)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == "InvalidArgument", e.response
for bad in ([rule, dict(rule, Id="other")], [dict(rule, Events=["s3:ObjectEaten:*"])]):
    try:
        configure(*bad)
        raise AssertionError(bad)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == "InvalidArgument", e.response
refused("NoSuchBucket", s3().put_bucket_notification_configuration, Bucket=bucket + "-none", NotificationConfiguration={"QueueConfigurations": [rule]})
configure(rule)
for _ in endpoints:
    assert s3().get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"] == [rule]
tests = [m for m in told() if m.get("Event") == "s3:TestEvent"]
assert len(tests) == 1 and tests[0]["Service"] == "Amazon S3", tests

# each kind of change, by each gateway
for n in range(6):
    key = "images/%d ü.jpg" % n
    put = s3().put_object(Bucket=bucket, Key=key, Body=b"x" * (n * 3000))
    record = events("images/%d+%%C3%%BC.jpg" % n, "ObjectCreated:Put")[0]
    assert record["s3"]["object"]["size"] == n * 3000 and record["s3"]["object"]["eTag"] == put["ETag"].strip('"'), record
    assert record["s3"]["configurationId"] == "images" and record["requestParameters"]["sourceIPAddress"] == "127.0.0.1", record
    assert record["responseElements"]["x-amz-request-id"] == put["ResponseMetadata"]["RequestId"], (record, put)
    assert record["userIdentity"]["principalId"] == "000000000000" and "versionId" not in record["s3"]["object"], record
key = "images/a.jpg"
source = {"Bucket": bucket, "Key": "images/before.jpg"}
s3().copy_object(Bucket=bucket, Key=key, CopySource=source)
s3().put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
s3().delete_object_tagging(Bucket=bucket, Key=key)
upload = s3().create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
etag = s3().upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
s3().complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
s3().delete_object(Bucket=bucket, Key=key)
s3().delete_object(Bucket=bucket, Key=key)
s3().put_object(Bucket=bucket, Key=key, Body=b"again")
s3().delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}, {"Key": "images/none.jpg"}]})
for other in ("image.jpg", "images/a.png", "elsewhere/images/a.jpg"):
    s3().put_object(Bucket=bucket, Key=other, Body=b"x")
form = s3().generate_presigned_post(bucket, "images/form.jpg")
boundary = "boundary7MA4YWxk"
parts = "".join('--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (boundary, k, v) for k, v in form["fields"].items())
parts += '--%s\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nposted\r\n--%s--\r\n' % (boundary, boundary)
urllib.request.urlopen(urllib.request.Request(form["url"], parts.encode(), {"Content-Type": "multipart/form-data; boundary=" + boundary})).close()
events("images/form.jpg", "ObjectCreated:Post")
events(key, "ObjectCreated:Copy", "ObjectTagging:Put", "ObjectTagging:Delete", "ObjectCreated:CompleteMultipartUpload", "ObjectRemoved:Delete",
       "ObjectCreated:Put", "ObjectRemoved:Delete")

# versions
s3().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
key = "images/v.jpg"
version = s3().put_object(Bucket=bucket, Key=key, Body=b"v")["VersionId"]
marker = s3().delete_object(Bucket=bucket, Key=key)["VersionId"]
s3().delete_object(Bucket=bucket, Key=key, VersionId=version)
of = events(key, "ObjectCreated:Put", "ObjectRemoved:DeleteMarkerCreated", "ObjectRemoved:Delete")
assert {r["s3"]["object"]["versionId"] for r in of} == {version, marker}, of

# without a configuration nothing is told
configure()
assert "QueueConfigurations" not in s3().get_bucket_notification_configuration(Bucket=bucket)
s3().put_object(Bucket=bucket, Key="images/after.jpg", Body=b"x")
unseen = boto3.client("s3", endpoint_url=endpoints[0])
unseen.meta.events.register("before-call.s3.PutBucketNotificationConfiguration",
                            lambda params, **kwargs: params["headers"].update({"x-amz-skip-destination-validation": "true"}))
unseen.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={
    "QueueConfigurations": [dict(rule, QueueArn="arn:aisle:sqs::dead:webhook")]})
s3().put_object(Bucket=bucket, Key="images/dead.jpg", Body=b"x")
configure(rule)
s3().put_object(Bucket=bucket, Key="images/last.jpg", Body=b"x")
events("images/last.jpg", "ObjectCreated:Put")
keys = {m["Records"][0]["s3"]["object"]["key"] for m in told() if "Records" in m}
assert not keys & {"images/before.jpg", "images/after.jpg", "images/dead.jpg", "image.jpg", "images/a.png", "elsewhere/images/a.jpg", "images/none.jpg"}, keys
