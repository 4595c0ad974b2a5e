"""What is unusual in heads and queries of requests, and limits of bodies. Arguments: bucket, endpoints separated by commas."""
import itertools
import json
import os
import socket
import sys
import urllib.parse

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions

bucket, endpoints = sys.argv[1], sys.argv[2].split(",")
rounds = itertools.cycle(endpoints)
keys = botocore.credentials.Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
s3 = boto3.client("s3", endpoint_url=endpoints[0])


def raw(method, path, *fields, body=b"", signed=True):
    """Sends exactly these fields beside Host and the signature, and returns status and text."""
    url = next(rounds) + path
    request = botocore.awsrequest.AWSRequest(method=method, url=url, data=body)
    if signed:
        botocore.auth.S3SigV4Auth(keys, "s3", "us-east-1").add_auth(request)
    at = urllib.parse.urlsplit(url)
    lines = [f"{method} {path} HTTP/1.1", "Host: " + at.netloc, "Connection: close", *fields]
    lines += [f"{k}: {v}" for k, v in request.headers.items()]
    with socket.create_connection((at.hostname, at.port), timeout=60) as c:
        c.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        got = b""
        while more := c.recv(1 << 16):
            got += more
    return int(got.split(b" ", 2)[1]), got.decode()


def want(status, got, *texts):
    assert got[0] == status and all(t in got[1] for t in texts), (status, texts, got)


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code, (code, e.response)
        return
    raise AssertionError("want " + code)


s3.create_bucket(Bucket=bucket)
k = f"/{bucket}/k"
s3.put_object(Bucket=bucket, Key="k", Body=b"as it was")


def unchanged():
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"as it was"


# Other expectations than 100-continue are ignored.
for n, expect in enumerate(("Expect: miracles", "Expect:")):
    want(200, raw("PUT", f"/{bucket}/e", expect, "Content-Length: 3", body=b"abc"))
    want(200, raw("PUT", f"/{bucket}-{n}", expect, "Content-Length: 0"))
    s3.delete_bucket(Bucket=f"{bucket}-{n}")
    assert s3.get_object(Bucket=bucket, Key="e")["Body"].read() == b"abc"

# An object or part needs a length or chunks; what has no body needs neither.
upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
want(411, raw("PUT", k), "<Code>MissingContentLength</Code>")
want(411, raw("PUT", f"/{bucket}/m?partNumber=1&uploadId={upload}"), "<Code>MissingContentLength</Code>")
want(403, raw("PUT", k, signed=False), "<Code>AccessDenied</Code>")
unchanged()
want(200, raw("PUT", f"/{bucket}-2"))
s3.delete_bucket(Bucket=bucket + "-2")
want(200, raw("PUT", f"/{bucket}/empty", "Content-Length: 0"))
s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"})
want(400, raw("PUT", f"/{bucket}/m?partNumber=1&uploadId={upload}", f"Content-Length: {5 * 2**30 + 1}"), "<Code>EntityTooLarge</Code>", "<MaxSizeAllowed>5368709120</MaxSizeAllowed>")
s3.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=upload)

# Heads that are refused say so in a code of their own.
want(501, raw("PUT", k, "Transfer-Encoding: identity"), "<Code>NotImplemented</Code>")
want(400, raw("PUT", k, "Content-Length: -1"), "<Code>BadRequest</Code>")
want(431, raw("GET", k, *["A: b"] * 2000), "<Code>RequestHeaderSectionTooLarge</Code>")
unchanged()

# Reads ignore names that S3 does not know, writes refuse them.
for path in (k + "?v=3", k + "?utm_source=x&x-custom=1", k + "?Acl"):
    want(200, raw("GET", path), "as it was")
    want(200, raw("HEAD", path))
    want(501, raw("PUT", path, "Content-Length: 1", body=b"x"), "<Code>NotImplemented</Code>")
    want(501, raw("DELETE", path), "<Code>NotImplemented</Code>")
unchanged()
want(200, raw("GET", f"/{bucket}?list-type=2&x-custom=1&v=3"), "<Key>k</Key>")
want(200, raw("GET", f"/{bucket}?versions&x-custom"), "<Key>k</Key>")
want(200, raw("GET", "/?x-custom"), f"<Name>{bucket}</Name>")
want(501, raw("GET", f"/{bucket}?versionId=null"), "<Code>NotImplemented</Code>")
want(501, raw("GET", f"/{bucket}?versions&marker=a"), "<Code>NotImplemented</Code>")

# An empty token is none.
got = s3.list_objects_v2(Bucket=bucket, ContinuationToken="", StartAfter="e")
assert got["ContinuationToken"] == "" and [o["Key"] for o in got["Contents"]] == ["empty", "k"], got

# Other regions have no buckets.
want(200, raw("GET", "/?bucket-region=us-east-1"), f"<Name>{bucket}</Name>")
want(200, got := raw("GET", "/?bucket-region=eu-north-7"), "<Buckets")
assert "<Name>" not in got[1], got

# As many rules as there may be, with long names.
rules = [{"ID": f"{i:04d}" + "r" * 200, "Status": "Disabled", "Filter": {"And": {"Prefix": "p" * 100 + str(i), "Tags": [{"Key": "k", "Value": "v" * 100}]}},
          "Expiration": {"Days": 5}} for i in range(1000)]
s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
for e in endpoints:
    assert boto3.client("s3", endpoint_url=e).get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == rules
refused("InvalidRequest", s3.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration={"Rules": rules + [dict(rules[0], ID="one more")]})
s3.delete_bucket_lifecycle(Bucket=bucket)
queues = [{"Id": f"{i:03d}" + "r" * 200, "QueueArn": "arn:aisle:sqs::hook:webhook", "Events": ["s3:ObjectTagging:Put"],
           "Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": f"{i:03d}" + "p" * 400}, {"Name": "Suffix", "Value": "s" * 400}]}}} for i in range(100)]
s3.put_bucket_notification_configuration(Bucket=bucket, SkipDestinationValidation=True, NotificationConfiguration={"QueueConfigurations": queues})
assert len(s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]) == 100
s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})

# Each action of a policy needs a resource of its kind.
policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["s3:ListBucket", "s3:GetObject"], "Resource": f"arn:aws:s3:::{bucket}/*"}]}
refused("MalformedPolicy", s3.put_bucket_policy, Bucket=bucket, Policy=json.dumps(policy))
policy["Statement"][0]["Resource"] = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
want(200, raw("GET", k + "?v=4", signed=False), "as it was")
s3.delete_bucket_policy(Bucket=bucket)

# A bucket's region is told to who may not ask for more.
got = raw("HEAD", f"/{bucket}")
assert got[0] == 200 and all(h in got[1].lower() for h in ("x-amz-bucket-region: us-east-1", "x-amz-access-point-alias: false")), got
got = raw("HEAD", f"/{bucket}", signed=False)
assert got[0] == 403 and "x-amz-bucket-region: us-east-1" in got[1].lower(), got

# What is wrong with the parts of an upload is told.
upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
parts = [{"PartNumber": n, "ETag": s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=n, Body=b"abc")["ETag"]} for n in (1, 2)]
try:
    s3.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": parts})
    raise AssertionError("parts of three bytes make an object")
except botocore.exceptions.ClientError as e:
    said = e.response["Error"]
    assert (said["Code"], said["ProposedSize"], said["MinSizeAllowed"], said["PartNumber"]) == ("EntityTooSmall", "3", "5242880", "1"), said
    assert said["ETag"].strip('"') == parts[0]["ETag"].strip('"'), said
s3.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=upload)
