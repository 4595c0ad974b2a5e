"""Encryption with boto3. Arguments: bucket, endpoints separated by commas. AISLE is the program, which makes encryption keys."""
import base64
import hashlib
import itertools
import json
import os
import subprocess
import sys
import urllib.request

import boto3
import botocore.config
import botocore.exceptions

bucket, endpoints = sys.argv[1], sys.argv[2].split(",")
clients = [boto3.client("s3", endpoint_url=e, config=botocore.config.Config(signature_version="s3v4")) for e in endpoints]
rounds = itertools.cycle(clients)
key = "of-" + bucket


def s3():
    return next(rounds)


def refused(status, code, call, **kwargs):
    try:
        call(**kwargs)
    except botocore.exceptions.ClientError as e:
        assert e.response["ResponseMetadata"]["HTTPStatusCode"] == status, (status, e.response)
        assert code is None or e.response["Error"]["Code"] == code, (code, e.response)
        return
    raise AssertionError("want %s" % code)


def aisle(*args):
    env = dict(os.environ, AISLE_ENDPOINT=endpoints[0], AISLE_ACCESS_KEY=os.environ["AWS_ACCESS_KEY_ID"],
               AISLE_SECRET_KEY=os.environ["AWS_SECRET_ACCESS_KEY"])
    if "AWS_CA_BUNDLE" in env:
        env["AISLE_CA_FILE"] = env["AWS_CA_BUNDLE"]
    return subprocess.run([os.environ["AISLE"], *args], env=env, check=True, capture_output=True, text=True).stdout


aisle("kms", "add", key)
shown = {k["name"]: k for k in json.loads(aisle("kms", "show", "--json"))}
assert shown[key]["versions"] == 1 and shown[key]["opens"], shown

s3().create_bucket(Bucket=bucket)
one, two = "1" * 32, "2" * 32
customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": one}
other = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": two}
source = {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": one}
kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
encoded = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": base64.b64encode(one.encode()).decode(),  # what older boto3 does not do for CompleteMultipartUpload
           "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(one.encode()).digest()).decode()}
modes = {  # how to write, how to read, what replies say
    "plain": ({}, {}, {"ServerSideEncryption": None}),
    "s3": ({"ServerSideEncryption": "AES256"}, {}, {"ServerSideEncryption": "AES256"}),
    "kms": (dict(kms, BucketKeyEnabled=True), {}, dict(kms, BucketKeyEnabled=True)),
    "customer": (customer, customer, {"SSECustomerAlgorithm": "AES256", "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(one.encode()).digest()).decode()}),
}


def check(reply, want):
    for name, value in want.items():
        assert reply.get(name) == value, (name, value, reply)


data = {size: os.urandom(size) for size in (1, 5000, 300000)}
for name, (write, read, want) in modes.items():
    for size, body in data.items():
        of = {"Bucket": bucket, "Key": "%s-%d" % (name, size)}
        put = s3().put_object(Body=body, **write, **of)
        check(put, want)
        assert (put["ETag"] == '"%s"' % hashlib.md5(body).hexdigest()) == (name in ("plain", "s3")), put
        check(s3().head_object(**read, **of), want)
        for _ in endpoints:
            got = s3().get_object(**read, **of)
            check(got, want)
            assert got["Body"].read() == body
        first, last = size // 3, size - size // 4 - 1
        if last >= first:
            got = s3().get_object(Range="bytes=%d-%d" % (first, last), **read, **of)["Body"].read()
            assert got == body[first:last + 1], (name, size)
    for to, (write_to, read_to, want_to) in modes.items():
        target = {"Bucket": bucket, "Key": "%s-to-%s" % (name, to)}
        copied = s3().copy_object(CopySource={"Bucket": bucket, "Key": "%s-300000" % name}, **write_to, **(source if name == "customer" else {}), **target)
        check(copied, want_to)
        assert s3().get_object(**read_to, **target)["Body"].read() == data[300000]
assert {o["Key"]: o["Size"] for o in s3().list_objects_v2(Bucket=bucket, Prefix="customer-")["Contents"]}["customer-5000"] == 5000

# what is refused
locked = {"Bucket": bucket, "Key": "customer-5000"}
refused(400, "InvalidRequest", s3().get_object, **locked)
refused(400, None, s3().head_object, **locked)
refused(403, "AccessDenied", s3().get_object, **other, **locked)
refused(403, None, s3().head_object, **other, **locked)
refused(400, "InvalidRequest", s3().copy_object, CopySource=locked, Bucket=bucket, Key="x")
refused(400, "InvalidRequest", s3().get_object, Bucket=bucket, Key="plain-5000", **customer)
put = {"Bucket": bucket, "Key": "x", "Body": b"x"}
refused(400, "InvalidArgument", s3().put_object, ServerSideEncryption="aes:kms", **put)
refused(400, "InvalidArgument", s3().put_object, ServerSideEncryption="AES256", **customer, **put)
refused(400, "InvalidArgument", s3().put_object, SSEKMSKeyId=key, **put)
refused(400, "KMS.NotFoundException", s3().put_object, ServerSideEncryption="aws:kms", SSEKMSKeyId="nobody", **put)
refused(501, "NotImplemented", s3().put_object, ServerSideEncryption="aws:kms:dsse", **put)
refused(400, "InvalidEncryptionAlgorithmError", s3().put_object, SSECustomerAlgorithm="AES192", SSECustomerKey=one, **put)
refused(404, "NoSuchKey", s3().get_object, Bucket=bucket, Key="x")

# the default key, and a context
check(s3().put_object(ServerSideEncryption="aws:kms", SSEKMSEncryptionContext=base64.b64encode(b'{"a":"b"}').decode(), **put), {"ServerSideEncryption": "aws:kms"})
assert s3().get_object(Bucket=bucket, Key="x")["SSEKMSKeyId"].endswith(":alias/aws/s3")

# uploads in parts
part = os.urandom(5 << 20)
for name, (write, read, want) in modes.items():
    of = {"Bucket": bucket, "Key": "parts-" + name}
    upload = s3().create_multipart_upload(Metadata={"a": "b"}, **write, **of)
    check(upload, want)
    of["UploadId"] = upload["UploadId"]
    if name == "customer":
        refused(400, "InvalidRequest", s3().upload_part, PartNumber=1, Body=part, **of)
        refused(400, "InvalidRequest", s3().upload_part, PartNumber=1, Body=part, **other, **of)
    parts = [{"PartNumber": 1, "ETag": s3().upload_part(PartNumber=1, Body=part, **read, **of)["ETag"]}]
    copied = s3().upload_part_copy(PartNumber=3, CopySource={"Bucket": bucket, "Key": "customer-300000"}, CopySourceRange="bytes=70000-299999", **source, **read, **of)
    check(copied, want)
    parts.append({"PartNumber": 3, "ETag": copied["CopyPartResult"]["ETag"]})
    done = s3().complete_multipart_upload(MultipartUpload={"Parts": parts}, **(encoded if read else {}), **of)
    del of["UploadId"]
    body = part + data[300000][70000:]
    for _ in endpoints:
        got = s3().get_object(**read, **of)
        check(got, want)
        assert got["Body"].read() == body and got["ETag"] == done["ETag"] and got["Metadata"] == {"a": "b"}
    assert s3().get_object(Range="bytes=5242875-5242885", **read, **of)["Body"].read() == body[5242875:5242886]
    assert s3().get_object(PartNumber=2, **read, **of)["Body"].read() == data[300000][70000:]
    assert s3().list_objects_v2(Bucket=bucket, Prefix="parts-" + name)["Contents"][0]["Size"] == len(body)

# what a bucket says
config = {"Bucket": bucket}
refused(404, "ServerSideEncryptionConfigurationNotFoundError", s3().get_bucket_encryption, **config)
refused(400, "MalformedXML", s3().put_bucket_encryption, ServerSideEncryptionConfiguration={"Rules": []}, **config)
refused(400, "InvalidArgument", s3().put_bucket_encryption, ServerSideEncryptionConfiguration={"Rules": [
    {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256", "KMSMasterKeyID": key}}]}, **config)
for rule, want in (
    ({"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}, kms),
    ({"SSEAlgorithm": "AES256"}, {"ServerSideEncryption": "AES256"}),
):
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": rule, "BucketKeyEnabled": False}]}
    s3().put_bucket_encryption(ServerSideEncryptionConfiguration=rules, **config)
    for _ in endpoints:
        assert s3().get_bucket_encryption(**config)["ServerSideEncryptionConfiguration"] == rules
        check(s3().put_object(**put), want)
        check(s3().get_object(Bucket=bucket, Key="x"), want)

# versions, each with a key of its own
s3().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
of = {"Bucket": bucket, "Key": "versions"}
versions = [(s3().put_object(Body=name.encode(), **write, **of)["VersionId"], name.encode(), read, want)
            for name, (write, read, want) in list(modes.items()) + [("other", (other, other, {"SSECustomerAlgorithm": "AES256"}))]]
for version, body, read, want in versions:
    got = s3().get_object(VersionId=version, **read, **of)
    assert got["Body"].read() == body
    check(got, want if body != b"plain" else {"ServerSideEncryption": "AES256"})  # as the bucket says
refused(403, "AccessDenied", s3().get_object, VersionId=versions[3][0], **other, **of)
s3().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})

# a form of a browser
form = s3().generate_presigned_post(bucket, "form", Fields={"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": key},
                                    Conditions=[["starts-with", "$x-amz-server-side-encryption", ""], ["starts-with", "$x-amz-server-side-encryption-aws-kms-key-id", ""]])
text = b"".join(b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (k.encode(), v.encode()) for k, v in form["fields"].items())
text += b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nfrom a form\r\n--x--\r\n'
context = None
if "AWS_CA_BUNDLE" in os.environ:
    import ssl
    context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
reply = urllib.request.urlopen(urllib.request.Request(form["url"], text, {"Content-Type": "multipart/form-data; boundary=x"}), context=context)
assert reply.status == 204 and reply.headers["x-amz-server-side-encryption"] == "aws:kms", (reply.status, reply.headers)
check(s3().get_object(Bucket=bucket, Key="form"), kms)
s3().delete_bucket_encryption(**config)
refused(404, "ServerSideEncryptionConfigurationNotFoundError", s3().get_bucket_encryption, **config)

# policies
s3().put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [{
    "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::%s/only-kms/*" % bucket,
    "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": key}}}]}))
put["Key"] = "only-kms/x"
refused(403, "AccessDenied", s3().put_object, **put)
refused(403, "AccessDenied", s3().put_object, ServerSideEncryption="AES256", **put)
s3().put_object(**kms, **put)

# versions of keys; a key that is gone
aisle("kms", "rotate", key)
aisle("kms", "reseal", key, "aisle/s3")
s3().put_object(Bucket=bucket, Key="rotated", Body=b"r", **kms)
assert s3().get_object(Bucket=bucket, Key="kms-5000")["Body"].read() == data[5000]
assert s3().get_object(Bucket=bucket, Key="rotated")["Body"].read() == b"r"
assert s3().get_object(Bucket=bucket, Key="s3-5000")["Body"].read() == data[5000]
aisle("kms", "rm", "--yes", key)
refused(400, "KMS.NotFoundException", s3().get_object, Bucket=bucket, Key="rotated")
refused(400, "KMS.NotFoundException", s3().put_object, **kms, **put)
