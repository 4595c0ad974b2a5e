"""Lifecycle rules with boto3. Arguments: bucket, endpoints separated by commas. A day of the cluster has one second."""
import datetime
import itertools
import re
import sys
import time
from email.utils import parsedate_to_datetime

import boto3
import botocore.exceptions

bucket, endpoints = sys.argv[1], sys.argv[2].split(",")
rounds = itertools.cycle([boto3.client("s3", endpoint_url=e) for e in endpoints])
versioned = bucket + "-versioned"


def s3():
    return next(rounds)


def refused(code, call, status=400, **kwargs):
    try:
        call(**kwargs)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code, (code, e.response)
        assert e.response["ResponseMetadata"]["HTTPStatusCode"] == status, e.response
        return e.response
    raise AssertionError("want " + code)


def rules(of, *list, **kwargs):
    return s3().put_bucket_lifecycle_configuration(Bucket=of, LifecycleConfiguration={"Rules": list}, **kwargs)


def rule(id, prefix="", **actions):
    return dict({"ID": id, "Status": "Enabled", "Filter": {"Prefix": prefix}}, **actions)


def until(what, probe):
    """Rules are carried out in their time; how long that takes is not what is tested."""
    end = time.monotonic() + 120
    while not probe():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def keys(of, prefix=""):
    return [o["Key"] for o in s3().list_objects_v2(Bucket=of, Prefix=prefix).get("Contents", [])]


def versions(of, key):
    """The kinds of the versions of a key: the newest first."""
    page = s3().list_object_versions(Bucket=of, Prefix=key)
    rows = [(v["LastModified"], v["IsLatest"], "version") for v in page.get("Versions", [])]
    rows += [(v["LastModified"], v["IsLatest"], "marker") for v in page.get("DeleteMarkers", [])]
    return [kind for _, latest, kind in sorted(rows, key=lambda r: (r[1], r[0]), reverse=True)]


for name in (bucket, versioned):
    s3().create_bucket(Bucket=name)

# rules are told as they were set, by every gateway
refused("NoSuchLifecycleConfiguration", s3().get_bucket_lifecycle_configuration, status=404, Bucket=bucket)
midnight = datetime.datetime(2035, 1, 2, tzinfo=datetime.timezone.utc)
kept = [
    rule("days", "a/", Expiration={"Days": 30}, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 3}),
    dict(rule("date", "b/", Expiration={"Date": midnight}), Status="Disabled"),
    dict(rule("tag", Expiration={"Days": 4}), Filter={"Tag": {"Key": "k", "Value": "v"}}),
    dict(rule("and", Expiration={"Days": 4}), Filter={"And": {"Prefix": "c", "Tags": [{"Key": "k", "Value": "v"}], "ObjectSizeGreaterThan": 5, "ObjectSizeLessThan": 500}}),
    rule("versions", "d/", Expiration={"ExpiredObjectDeleteMarker": True}, NoncurrentVersionExpiration={"NoncurrentDays": 2, "NewerNoncurrentVersions": 3}),
]
minimum = "x-amz-transition-default-minimum-object-size"
assert rules(bucket, *kept)["ResponseMetadata"]["HTTPHeaders"][minimum] == "all_storage_classes_128K"
for _ in endpoints:
    got = s3().get_bucket_lifecycle_configuration(Bucket=bucket)
    assert got["Rules"] == kept, got["Rules"]
    assert got["ResponseMetadata"]["HTTPHeaders"][minimum] == "all_storage_classes_128K"
first = [{"Prefix": "x/", "Status": "Enabled", "Expiration": {"Days": 1000}}, {"ID": "named", "Prefix": "y/", "Status": "Enabled", "Expiration": {"Days": 1000}}]
rules(bucket, *first)
got = s3().get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
assert [r["Prefix"] for r in got] == ["x/", "y/"] and got[0]["ID"] and got[1]["ID"] == "named", got
for code, *bad in (
        ("InvalidArgument", rule("a", Expiration={"Days": 0})), ("InvalidArgument", rule("x" * 256, Expiration={"Days": 1})),
        ("InvalidArgument", rule("a", Expiration={"Days": 1}), rule("a", Expiration={"Days": 2})),
        ("InvalidArgument", rule("a", Expiration={"Date": midnight + datetime.timedelta(hours=1)})),
        ("MalformedXML", dict(rule("a", Expiration={"Days": 1}), Status="enabled")), ("InvalidRequest", rule("a")),
        ("MalformedXML", rule("a", Expiration={"Days": 1, "Date": midnight})),
        ("InvalidRequest", dict(rule("a", Expiration={"ExpiredObjectDeleteMarker": True}), Filter={"Tag": {"Key": "k", "Value": "v"}})),
        ("InvalidRequest", dict(rule("a", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}), Filter={"Tag": {"Key": "k", "Value": "v"}}))):
    refused(code, lambda: rules(bucket, *bad))
refused("NotImplemented", lambda: rules(bucket, rule("a", Transitions=[{"Days": 30, "StorageClass": "GLACIER"}])), status=501)
assert [r["Prefix"] for r in s3().get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]] == ["x/", "y/"]

# what replies tell of the end: by the calendar
rules(bucket, rule("a rule/1", "told/", Expiration={"Days": 1}), rule("abort", "told/", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 2}))
of = {"Bucket": bucket, "Key": "told/a"}


def expires(reply, days):
    found = re.fullmatch(r'expiry-date="(.+)", rule-id="(.+)"', reply["Expiration"])
    at = parsedate_to_datetime(found.group(1))
    assert found.group(2) == "a+rule%2F1" and (at.hour, at.minute, at.second) == (0, 0, 0), reply["Expiration"]
    left = at - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(days=days) - datetime.timedelta(minutes=1) < left <= datetime.timedelta(days=days + 1), reply["Expiration"]


for _ in endpoints:
    for read in (s3().head_object, s3().get_object):
        expires(s3().put_object(Body=b"x", **of), 1)
        try:
            expires(read(**of), 1)
        except botocore.exceptions.ClientError as e:  # its day had ended meanwhile
            assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 404, e.response
assert "Expiration" not in s3().put_object(Bucket=bucket, Key="untold", Body=b"x")
upload = s3().create_multipart_upload(**of)
assert upload["AbortRuleId"] == "abort" and upload["AbortDate"].hour == 0 and upload["AbortDate"] > datetime.datetime.now(datetime.timezone.utc), upload
try:
    assert s3().list_parts(UploadId=upload["UploadId"], **of)["AbortRuleId"] == "abort"
except botocore.exceptions.ClientError as e:
    assert e.response["Error"]["Code"] == "NoSuchUpload", e.response
until("uploads are aborted", lambda: "Uploads" not in s3().list_multipart_uploads(Bucket=bucket))
until("the object expires", lambda: keys(bucket, "told/") == [])
assert keys(bucket) == ["untold"]

# objects go by prefix, tag, size and date, and others stay
assert s3().delete_bucket_lifecycle(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
refused("NoSuchLifecycleConfiguration", s3().get_bucket_lifecycle_configuration, status=404, Bucket=bucket)
for i in range(12):
    s3().put_object(Bucket=bucket, Key="days/%d" % i, Body=b"x" * 10000 * i)
s3().put_object(Bucket=bucket, Key="date/a", Body=b"x")
s3().put_object(Bucket=bucket, Key="later/a", Body=b"x")
s3().put_object(Bucket=bucket, Key="tag/a", Body=b"x", Tagging="gone=yes")
s3().put_object(Bucket=bucket, Key="tag/b", Body=b"x", Tagging="gone=no")
s3().put_object(Bucket=bucket, Key="size/10", Body=b"x" * 10)
s3().put_object(Bucket=bucket, Key="size/100", Body=b"x" * 100)
s3().put_object(Bucket=bucket, Key="disabled/a", Body=b"x")
rules(bucket, rule("days", "days/", Expiration={"Days": 1}), rule("date", "date/", Expiration={"Date": datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)}),
      rule("later", "later/", Expiration={"Date": midnight}), dict(rule("tag", Expiration={"Days": 1}), Filter={"Tag": {"Key": "gone", "Value": "yes"}}),
      dict(rule("size", Expiration={"Days": 1}), Filter={"And": {"Prefix": "size/", "ObjectSizeGreaterThan": 10}}),
      dict(rule("disabled", "disabled/", Expiration={"Days": 1}), Status="Disabled"))
stays = ["disabled/a", "later/a", "size/10", "tag/b", "untold"]
until("what has expired goes", lambda: keys(bucket) == stays)

# versions: a current one gets a delete marker, others go by their age, so many stay, and lone markers go
s3().put_bucket_versioning(Bucket=versioned, VersioningConfiguration={"Status": "Enabled"})
for i in range(5):
    s3().put_object(Bucket=versioned, Key="keep/a", Body=b"%d" % i)
    s3().put_object(Bucket=versioned, Key="all/a", Body=b"%d" % i)
s3().put_object(Bucket=versioned, Key="current/a", Body=b"x")
for _ in endpoints:
    s3().put_object(Bucket=versioned, Key="lone/a", Body=b"x")
s3().delete_object(Bucket=versioned, Key="lone/a")
rules(versioned, rule("keep", "keep/", NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 2}),
      rule("all", "all/", NoncurrentVersionExpiration={"NoncurrentDays": 1}), rule("current", "current/", Expiration={"Days": 1}),
      rule("lone", "lone/", NoncurrentVersionExpiration={"NoncurrentDays": 1}, Expiration={"ExpiredObjectDeleteMarker": True}))
until("two noncurrent versions stay", lambda: versions(versioned, "keep/a") == ["version"] * 3)
until("only the current version stays", lambda: versions(versioned, "all/a") == ["version"])
until("a delete marker is made", lambda: versions(versioned, "current/a") == ["marker", "version"])
until("the marker goes, too", lambda: versions(versioned, "lone/a") == [])
assert s3().get_object(Bucket=versioned, Key="all/a")["Body"].read() == b"4"
assert s3().get_object(Bucket=versioned, Key="keep/a")["Body"].read() == b"4"
rules(versioned, rule("everything", Expiration={"Days": 1}, NoncurrentVersionExpiration={"NoncurrentDays": 1}))
until("the bucket is empty", lambda: versions(versioned, "") == [])
s3().delete_bucket(Bucket=versioned)
