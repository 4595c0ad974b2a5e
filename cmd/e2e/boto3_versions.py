"""Versions of objects with boto3. Arguments: bucket, endpoints separated by commas."""
import itertools
import sys

import boto3
import botocore.exceptions

bucket, endpoints = sys.argv[1], sys.argv[2].split(",")
rounds = itertools.cycle([boto3.client("s3", endpoint_url=e) for e in endpoints])


def s3():
    return next(rounds)


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code, (code, e.response)
        return e.response
    raise AssertionError("want " + code)


def versioning(status):
    s3().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
    for _ in endpoints:
        assert s3().get_bucket_versioning(Bucket=bucket)["Status"] == status


def listed(**kwargs):
    """All versions and markers as (key, id, latest, marker), from all pages, sorted."""
    got, marker = [], {}
    while True:
        page = s3().list_object_versions(Bucket=bucket, **kwargs, **marker)
        rows = [(v, False) for v in page.get("Versions", [])] + [(v, True) for v in page.get("DeleteMarkers", [])]
        got += [(v["Key"], v["VersionId"], v["IsLatest"], m) for v, m in rows]
        if not page["IsTruncated"]:
            return sorted(got)
        marker = {"KeyMarker": page["NextKeyMarker"]}
        if "NextVersionIdMarker" in page:
            marker["VersionIdMarker"] = page["NextVersionIdMarker"]


s3().create_bucket(Bucket=bucket)
assert "Status" not in s3().get_bucket_versioning(Bucket=bucket)
of = {"Bucket": bucket, "Key": "a"}
assert "VersionId" not in s3().put_object(Body=b"before", **of)
assert s3().list_object_versions(Bucket=bucket)["Versions"][0]["VersionId"] == "null"

versioning("Enabled")
one = s3().put_object(Body=b"one" * 5000, Tagging="n=1", **of)["VersionId"]
two = s3().put_object(Body=b"two", **of)["VersionId"]
assert len({one, two, "null"}) == 3
for id, body in {"null": b"before", one: b"one" * 5000, two: b"two"}.items():
    for _ in endpoints:
        got = s3().get_object(VersionId=id, **of)
        assert got["Body"].read() == body and got["VersionId"] == id
        assert s3().head_object(VersionId=id, **of)["ContentLength"] == len(body)
assert s3().get_object(**of)["VersionId"] == two
assert s3().get_object_tagging(VersionId=one, **of)["TagSet"] == [{"Key": "n", "Value": "1"}]
s3().put_object_tagging(VersionId="null", Tagging={"TagSet": [{"Key": "old", "Value": "1"}]}, **of)
assert s3().get_object(VersionId="null", **of)["TagCount"] == 1 and "TagCount" not in s3().get_object(**of)

# a delete marker, and its removal
marker = s3().delete_object(**of)
assert marker["DeleteMarker"] and marker["VersionId"] not in (one, two)
gone = refused("NoSuchKey", s3().get_object, **of)
headers = gone["ResponseMetadata"]["HTTPHeaders"]
assert headers["x-amz-delete-marker"] == "true" and headers["x-amz-version-id"] == marker["VersionId"]
asked = refused("MethodNotAllowed", s3().get_object, VersionId=marker["VersionId"], **of)
assert asked["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
assert "Contents" not in s3().list_objects_v2(Bucket=bucket)
assert listed() == listed(MaxKeys=1) == listed(MaxKeys=2)
assert listed() == sorted([("a", marker["VersionId"], True, True), ("a", two, False, False), ("a", one, False, False), ("a", "null", False, False)])
refused("BucketNotEmpty", s3().delete_bucket, Bucket=bucket)
undeleted = s3().delete_object(VersionId=marker["VersionId"], **of)
assert undeleted["DeleteMarker"] and s3().get_object(**of)["Body"].read() == b"two"

# an older version is copied onto the object: it becomes the newest
copied = s3().copy_object(CopySource={**of, "VersionId": one}, **of)
assert copied["CopySourceVersionId"] == one and copied["VersionId"] not in (one, two)
assert s3().get_object(**of)["Body"].read() == b"one" * 5000
for _ in endpoints:
    error = refused("NoSuchVersion", s3().get_object, VersionId="00000000000000aa", **of)["Error"]
    assert error["VersionId"] == "00000000000000aa", error
refused("InvalidArgument", s3().get_object, VersionId="what", **of)
s3().delete_object(VersionId=copied["VersionId"], **of)
assert s3().get_object(**of)["VersionId"] == two

# uploads make versions
upload = s3().create_multipart_upload(**of)["UploadId"]
part = s3().upload_part(UploadId=upload, PartNumber=1, Body=b"p" * 6000, **of)
whole = s3().complete_multipart_upload(UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}, **of)
assert s3().get_object(VersionId=whole["VersionId"], **of)["Body"].read() == b"p" * 6000

# suspended: the null version is one
versioning("Suspended")
assert s3().put_object(Body=b"null 2", **of)["VersionId"] == "null"
assert s3().put_object(Body=b"null 3", **of)["VersionId"] == "null"
assert s3().get_object(VersionId="null", **of)["Body"].read() == b"null 3"
assert s3().delete_object(**of)["VersionId"] == "null"
assert [r[1] for r in listed() if r[2]] == ["null"]
assert len(listed()) == 4
refused("IllegalVersioningConfigurationException", s3().put_bucket_versioning, Bucket=bucket, VersioningConfiguration={})

# many objects, prefixes, and the deletion of versions in batches
versioning("Enabled")
for i in range(20):
    s3().put_object(Bucket=bucket, Key="dir%d/k" % (i % 3), Body=b"%d" % i)
assert [p["Prefix"] for p in s3().list_object_versions(Bucket=bucket, Delimiter="/")["CommonPrefixes"]] == ["dir0/", "dir1/", "dir2/"]
assert len(listed(Prefix="dir")) == 20 and listed(Prefix="dir") == listed(Prefix="dir", MaxKeys=3)
batch = s3().delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "dir0/k"}]})["Deleted"][0]
assert batch["DeleteMarker"] and batch["DeleteMarkerVersionId"]
every = [{"Key": r[0], "VersionId": r[1]} for r in listed()]
done = s3().delete_objects(Bucket=bucket, Delete={"Objects": every})
assert len(done["Deleted"]) == len(every) and "Errors" not in done, done
assert listed() == []
s3().delete_bucket(Bucket=bucket)
