"""Object lock with boto3. Arguments: bucket, endpoints separated by commas."""
import datetime
import itertools
import sys
import time
import urllib.request

import boto3
import botocore.exceptions

bucket, endpoints = sys.argv[1], sys.argv[2].split(",")
rounds = itertools.cycle([boto3.client("s3", endpoint_url=e) for e in endpoints])
utc = datetime.timezone.utc
far, farther = datetime.datetime(2090, 1, 1, tzinfo=utc), datetime.datetime(2090, 6, 1, 12, 30, 1, 250000, tzinfo=utc)


def s3():
    return next(rounds)


def refused(status, code, call, **kwargs):
    try:
        call(**kwargs)
    except botocore.exceptions.ClientError as e:
        got = (e.response["ResponseMetadata"]["HTTPStatusCode"], e.response["Error"]["Code"])
        assert got == (status, code), (status, code, e.response)
        return e.response
    raise AssertionError(f"want {status} {code}")


def rule(**kwargs):
    return {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": kwargs}}


def remove(key, version, **kwargs):
    return s3().delete_object(Bucket=bucket, Key=key, VersionId=version, **kwargs)


# A bucket without object lock.
plain = bucket + "-plain"
s3().create_bucket(Bucket=plain)
of = {"Bucket": plain, "Key": "k"}
s3().put_object(Body=b"x", **of)
refused(404, "ObjectLockConfigurationNotFoundError", s3().get_object_lock_configuration, Bucket=plain)
refused(409, "InvalidBucketState", s3().put_object_lock_configuration, Bucket=plain, ObjectLockConfiguration=rule(Mode="GOVERNANCE", Days=1))
refused(400, "InvalidRequest", s3().get_object_retention, **of)
refused(400, "InvalidRequest", s3().put_object_retention, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": far}, **of)
refused(400, "InvalidRequest", s3().get_object_legal_hold, **of)
refused(400, "InvalidRequest", s3().put_object_legal_hold, LegalHold={"Status": "ON"}, **of)
refused(400, "InvalidRequest", s3().put_object, Body=b"", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=far, **of)
refused(400, "InvalidRequest", s3().copy_object, CopySource=of, ObjectLockLegalHoldStatus="ON", Bucket=plain, Key="to")
refused(400, "InvalidRequest", s3().create_multipart_upload, ObjectLockLegalHoldStatus="ON", **of)
s3().put_bucket_versioning(Bucket=plain, VersioningConfiguration={"Status": "Suspended"})
refused(409, "InvalidBucketState", s3().put_object_lock_configuration, Bucket=plain, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
s3().put_bucket_versioning(Bucket=plain, VersioningConfiguration={"Status": "Enabled"})
s3().put_object_lock_configuration(Bucket=plain, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
for _ in endpoints:
    assert s3().get_object_lock_configuration(Bucket=plain)["ObjectLockConfiguration"] == {"ObjectLockEnabled": "Enabled"}
s3().put_object_legal_hold(LegalHold={"Status": "ON"}, **of)  # of the object from before there were versions
refused(403, "AccessDenied", s3().delete_object, VersionId="null", **of)
s3().put_object_legal_hold(LegalHold={"Status": "OFF"}, **of)
s3().delete_object(VersionId="null", **of)
s3().delete_bucket(Bucket=plain)

# A bucket that is made with it.
s3().create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
for _ in endpoints:
    assert s3().get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert s3().get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"] == {"ObjectLockEnabled": "Enabled"}
refused(409, "InvalidBucketState", s3().put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
for code, conf in [
    ("MalformedXML", rule(Mode="GOVERNANCE", Days=1, Years=1)),
    ("MalformedXML", rule(Mode="GOVERNANCE")),
    ("MalformedXML", rule(Mode="governance", Days=1)),
    ("MalformedXML", rule(Mode="abc", Years=1)),
    ("MalformedXML", rule(Days=1)),
    ("MalformedXML", {"ObjectLockEnabled": "Disabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}),
    ("MalformedXML", {"Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}),
    ("MalformedXML", {"ObjectLockEnabled": "Enabled", "Rule": {}}),
    ("InvalidRetentionPeriod", rule(Mode="GOVERNANCE", Days=0)),
    ("InvalidRetentionPeriod", rule(Mode="GOVERNANCE", Years=-1)),
    ("InvalidRetentionPeriod", rule(Mode="GOVERNANCE", Days=36501)),
]:
    refused(400, code, s3().put_object_lock_configuration, Bucket=bucket, ObjectLockConfiguration=conf)

# Retention of an object: extended by everybody, taken back by nobody but who may bypass governance.
key = "retained"
first = s3().put_object(Bucket=bucket, Key=key, Body=b"1")["VersionId"]
of = {"Bucket": bucket, "Key": key}
refused(404, "NoSuchObjectLockConfiguration", s3().get_object_retention, **of)
refused(404, "NoSuchObjectLockConfiguration", s3().get_object_legal_hold, **of)
refused(404, "NoSuchKey", s3().get_object_retention, Bucket=bucket, Key="none")
refused(404, "NoSuchKey", s3().put_object_legal_hold, Bucket=bucket, Key="none", LegalHold={"Status": "ON"})
refused(404, "NoSuchVersion", s3().get_object_retention, VersionId="0000000000000007", **of)
for retention in [{"Mode": "governance", "RetainUntilDate": far}, {"Mode": "abc", "RetainUntilDate": far}, {"Mode": "GOVERNANCE"}, {"RetainUntilDate": far}]:
    refused(400, "MalformedXML", s3().put_object_retention, Retention=retention, **of)
refused(400, "InvalidArgument", s3().put_object_retention, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": datetime.datetime(2020, 1, 1, tzinfo=utc)}, **of)
s3().put_object_retention(Retention={"Mode": "GOVERNANCE", "RetainUntilDate": far}, **of)
for _ in endpoints:
    assert s3().get_object_retention(VersionId=first, **of)["Retention"] == {"Mode": "GOVERNANCE", "RetainUntilDate": far}
refused(403, "AccessDenied", remove, key=key, version=first)
refused(403, "AccessDenied", s3().put_object_retention, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": far - datetime.timedelta(seconds=1)}, **of)
refused(403, "AccessDenied", s3().put_object_retention, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": farther}, **of)
refused(403, "AccessDenied", s3().put_object_retention, Retention={}, **of)
s3().put_object_retention(Retention={"Mode": "GOVERNANCE", "RetainUntilDate": farther}, **of)
assert s3().get_object_retention(**of)["Retention"]["RetainUntilDate"] == farther
second = s3().put_object(Body=b"2", **of)["VersionId"]  # writes go on
marker = s3().delete_object(**of)
assert marker["DeleteMarker"]
refused(404, "NoSuchKey", s3().get_object_retention, **of)
refused(405, "MethodNotAllowed", s3().get_object_retention, VersionId=marker["VersionId"], **of)
refused(405, "MethodNotAllowed", s3().put_object_retention, VersionId=marker["VersionId"], Retention={"Mode": "GOVERNANCE", "RetainUntilDate": far}, **of)
many = s3().delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key, "VersionId": v} for v in (first, second, marker["VersionId"])]})
assert sorted(d["VersionId"] for d in many["Deleted"]) == sorted([second, marker["VersionId"]]), many
assert [(e["Key"], e["VersionId"], e["Code"]) for e in many["Errors"]] == [(key, first, "AccessDenied")], many
assert s3().get_object(**of)["Body"].read() == b"1"
s3().put_object_retention(Retention={"Mode": "GOVERNANCE", "RetainUntilDate": far}, BypassGovernanceRetention=True, **of)
s3().put_object_retention(Retention={}, BypassGovernanceRetention=True, **of)
refused(404, "NoSuchObjectLockConfiguration", s3().get_object_retention, **of)
s3().put_object_retention(Retention={"Mode": "GOVERNANCE", "RetainUntilDate": far}, **of)
many = s3().delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key, "VersionId": first}]}, BypassGovernanceRetention=True)
assert "Errors" not in many and len(many["Deleted"]) == 1, many
assert "Versions" not in s3().list_object_versions(Bucket=bucket)

# What a write says itself.
key = "said"
past = datetime.datetime.now(utc)
said = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": far, "ObjectLockLegalHoldStatus": "ON"}
of = {"Bucket": bucket, "Key": key}
for bad in [
    {"ObjectLockMode": "GOVERNANCE"}, {"ObjectLockRetainUntilDate": far}, {"ObjectLockMode": "abc", "ObjectLockRetainUntilDate": far},
    {"ObjectLockLegalHoldStatus": "on"}, {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": past},
]:
    refused(400, "InvalidArgument", s3().put_object, Body=b"", **bad, **of)
source = {"Bucket": bucket, "Key": "source"}
s3().put_object(Body=b"source", **source)
locked = [s3().put_object(Body=b"put", **said, **of)["VersionId"], s3().copy_object(CopySource=source, **said, **of)["VersionId"]]
upload = s3().create_multipart_upload(**said, **of)["UploadId"]
part = s3().upload_part(PartNumber=1, UploadId=upload, Body=b"part", **of)["ETag"]
locked.append(s3().complete_multipart_upload(UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]}, **of)["VersionId"])
form = s3().generate_presigned_post(bucket, key, Fields={
    "x-amz-object-lock-mode": "COMPLIANCE", "x-amz-object-lock-retain-until-date": "2090-01-01T00:00:00Z", "x-amz-object-lock-legal-hold": "ON",
}, Conditions=[["starts-with", "$x-amz-object-lock-" + n, ""] for n in ("mode", "retain-until-date", "legal-hold")])
body = b"".join(b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (k.encode(), v.encode()) for k, v in form["fields"].items())
body += b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nform\r\n--x--\r\n'
with urllib.request.urlopen(urllib.request.Request(form["url"], body, {"Content-Type": "multipart/form-data; boundary=x"})) as r:
    locked.append(r.headers["x-amz-version-id"])
for version in locked:
    for call in s3().head_object, s3().get_object:
        got = call(VersionId=version, **of)
        assert {k: got[k] for k in said} == said, got
    refused(403, "AccessDenied", remove, key=key, version=version, BypassGovernanceRetention=True)
    refused(403, "AccessDenied", s3().put_object_retention, VersionId=version, BypassGovernanceRetention=True,
            Retention={"Mode": "GOVERNANCE", "RetainUntilDate": far}, **of)
    s3().put_object_legal_hold(VersionId=version, LegalHold={"Status": "OFF"}, **of)
    assert s3().get_object_legal_hold(VersionId=version, **of)["LegalHold"]["Status"] == "OFF"
refused(400, "MalformedXML", s3().put_object_legal_hold, LegalHold={"Status": "abc"}, **of)
refused(400, "MalformedXML", s3().put_object_legal_hold, LegalHold={}, **of)
unlocked = s3().copy_object(CopySource=of, Bucket=bucket, Key="to")["VersionId"]  # a lock is not copied
assert "ObjectLockMode" not in s3().head_object(Bucket=bucket, Key="to")
remove("to", unlocked)

# What the bucket says.
conf = rule(Mode="GOVERNANCE", Days=3)
s3().put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=conf)
for _ in endpoints:
    assert s3().get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"] == conf
    version = s3().put_object(Bucket=bucket, Key="default", Body=b"x")["VersionId"]
    got = s3().head_object(Bucket=bucket, Key="default")
    assert got["ObjectLockMode"] == "GOVERNANCE" and abs(got["ObjectLockRetainUntilDate"] - got["LastModified"] - datetime.timedelta(days=3)) < datetime.timedelta(seconds=2), got
    refused(403, "AccessDenied", remove, key="default", version=version)
    remove("default", version, BypassGovernanceRetention=True)
own = s3().put_object(Bucket=bucket, Key="own", Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=far)["VersionId"]
assert s3().get_object_retention(Bucket=bucket, Key="own")["Retention"]["RetainUntilDate"] == far
remove("own", own, BypassGovernanceRetention=True)
conf = rule(Mode="COMPLIANCE", Years=1)
s3().put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=conf)
assert s3().get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"] == conf
s3().put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
assert "Rule" not in s3().get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
refused(409, "BucketNotEmpty", s3().delete_bucket, Bucket=bucket)

# Who may: not everybody with a key may bypass a retention, see one, or set one for as long as he likes.
iam = boto3.client("iam", endpoint_url=endpoints[0])
user = bucket + "-user"
iam.create_user(UserName=user)
pair = iam.create_access_key(UserName=user)["AccessKey"]
mine = boto3.client("s3", endpoint_url=endpoints[-1], aws_access_key_id=pair["AccessKeyId"], aws_secret_access_key=pair["SecretAccessKey"])
policy = """{"Version":"2012-10-17","Statement":[
    {"Effect":"Allow","Action":["s3:PutObject","s3:GetObject*","s3:DeleteObject*","s3:PutObjectRetention"],"Resource":"*"},
    {"Effect":"Deny","Action":"s3:GetObjectRetention","Resource":"arn:aws:s3:::*/hidden"},
    {"Effect":"Deny","Action":"s3:PutObjectRetention","Resource":"*","Condition":{"NumericGreaterThan":{"s3:object-lock-remaining-retention-days":"10"}}},
    {"Effect":"Deny","Action":"s3:PutObjectRetention","Resource":"*","Condition":{"StringEquals":{"s3:object-lock-mode":"COMPLIANCE"}}}]}"""
iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=policy)
of = {"Bucket": bucket, "Key": "hidden"}
ten = (datetime.datetime.now(utc) + datetime.timedelta(days=10)).replace(microsecond=0)
eleven = ten + datetime.timedelta(days=1)
refused(403, "AccessDenied", mine.put_object, Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=eleven, **of)
refused(403, "AccessDenied", mine.put_object, Body=b"x", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=ten, **of)
refused(403, "AccessDenied", mine.put_object, Body=b"x", ObjectLockLegalHoldStatus="ON", **of)
version = mine.put_object(Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=ten, **of)["VersionId"]
refused(403, "AccessDenied", mine.put_object_retention, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": eleven}, **of)
refused(403, "AccessDenied", mine.put_object_retention, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": ten}, BypassGovernanceRetention=True, **of)
refused(403, "AccessDenied", mine.put_object_legal_hold, LegalHold={"Status": "ON"}, **of)
refused(403, "AccessDenied", mine.delete_object, VersionId=version, BypassGovernanceRetention=True, **of)
many = mine.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "hidden", "VersionId": version}]}, BypassGovernanceRetention=True)
assert many["Errors"][0]["Code"] == "AccessDenied", many
assert "ObjectLockMode" not in mine.head_object(**of) and "ObjectLockMode" in s3().head_object(**of)
refused(403, "AccessDenied", mine.get_object_lock_configuration, Bucket=bucket)
refused(403, "AccessDenied", mine.create_bucket, Bucket=bucket + "-mine", ObjectLockEnabledForBucket=True)
remove("hidden", version, BypassGovernanceRetention=True)
iam.delete_access_key(UserName=user, AccessKeyId=pair["AccessKeyId"])
iam.delete_user_policy(UserName=user, PolicyName="p")
iam.delete_user(UserName=user)

# When a retention has ended, a version can go.
of = {"Bucket": bucket, "Key": "ends"}
seconds = 2
while True:
    ends = datetime.datetime.now(utc) + datetime.timedelta(seconds=seconds)
    try:
        version = s3().put_object(Body=b"x", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=ends, **of)["VersionId"]
        break
    except botocore.exceptions.ClientError as e:  # by then it was past
        assert e.response["Error"]["Code"] == "InvalidArgument", e.response
        seconds *= 2
time.sleep(max(0, (ends - datetime.datetime.now(utc)).total_seconds()) + 0.2)
remove("ends", version)
refused(409, "BucketNotEmpty", s3().delete_bucket, Bucket=bucket)
