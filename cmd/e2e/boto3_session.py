"""What a boto3 program does with a bucket. Arguments: bucket, endpoints separated by commas."""
import concurrent.futures
import hashlib
import io
import itertools
import os
import ssl
import sys
import urllib.request

import boto3
import botocore.exceptions
from boto3.s3.transfer import TransferConfig

bucket, endpoints = sys.argv[1], sys.argv[2].split(",")
clients = [boto3.client("s3", endpoint_url=e) for e in endpoints]
rounds = itertools.cycle(clients)


def s3():
    return next(rounds)


def read(key, **kwargs):
    return s3().get_object(Bucket=bucket, Key=key, **kwargs)["Body"].read()


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code, (code, e.response)
        return
    raise AssertionError("want " + code)


s3().create_bucket(Bucket=bucket)
assert bucket in [b["Name"] for b in s3().list_buckets()["Buckets"]]
s3().head_bucket(Bucket=bucket)
s3().get_bucket_location(Bucket=bucket)

# put and get: metadata, headers, conditions, ranges
small = os.urandom(1000)
etag = s3().put_object(Bucket=bucket, Key="a/b c+é", Body=small, ContentType="text/x-test", Metadata={"Colour": "blue"})["ETag"]
assert etag == '"%s"' % hashlib.md5(small).hexdigest(), etag
for _ in endpoints:
    got = s3().get_object(Bucket=bucket, Key="a/b c+é")
    assert got["Body"].read() == small and got["ContentType"] == "text/x-test" and got["Metadata"] == {"colour": "blue"}
head = s3().head_object(Bucket=bucket, Key="a/b c+é")
assert head["ContentLength"] == 1000 and head["ETag"] == etag
assert read("a/b c+é", Range="bytes=10-19") == small[10:20]
assert read("a/b c+é", Range="bytes=-7") == small[-7:]
refused("InvalidRange", s3().get_object, Bucket=bucket, Key="a/b c+é", Range="bytes=5000-")
refused("304", s3().get_object, Bucket=bucket, Key="a/b c+é", IfNoneMatch=etag)
refused("PreconditionFailed", s3().get_object, Bucket=bucket, Key="a/b c+é", IfMatch='"0"')
refused("NoSuchKey", s3().get_object, Bucket=bucket, Key="nothing")
refused("404", s3().head_object, Bucket=bucket, Key="nothing")
refused("NoSuchBucket", s3().get_object, Bucket=bucket + "-not", Key="nothing")

# a body without a length that is known at first, and an empty one
s3().upload_fileobj(io.BytesIO(small * 3), bucket, "stream")
assert read("stream") == small * 3
s3().put_object(Bucket=bucket, Key="empty", Body=b"")
assert read("empty") == b""

# multipart: 64 MiB through all nodes at once, and by hand out of order
large = os.urandom(1 << 20) * 64
s3().upload_fileobj(io.BytesIO(large), bucket, "large", Config=TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20, max_concurrency=4))
assert s3().head_object(Bucket=bucket, Key="large")["ETag"].endswith('-8"')
for _ in endpoints:
    back = io.BytesIO()
    s3().download_fileobj(bucket, "large", back)
    assert back.getvalue() == large
upload = s3().create_multipart_upload(Bucket=bucket, Key="by hand", ContentType="text/parts")["UploadId"]
parts = [large[: 5 << 20], large[: 6 << 20], b"the end"]


def part(i):
    done = s3().upload_part(Bucket=bucket, Key="by hand", UploadId=upload, PartNumber=i + 1, Body=parts[i])
    return {"PartNumber": i + 1, "ETag": done["ETag"]}


with concurrent.futures.ThreadPoolExecutor(3) as pool:
    named = list(pool.map(part, [2, 0, 1]))
listed = s3().list_parts(Bucket=bucket, Key="by hand", UploadId=upload)["Parts"]
assert [p["Size"] for p in listed] == [len(p) for p in parts], listed
assert [u["Key"] for u in s3().list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["by hand"]
refused("InvalidPartOrder", s3().complete_multipart_upload, Bucket=bucket, Key="by hand", UploadId=upload, MultipartUpload={"Parts": named})
named.sort(key=lambda p: p["PartNumber"])
s3().complete_multipart_upload(Bucket=bucket, Key="by hand", UploadId=upload, MultipartUpload={"Parts": named})
assert read("by hand") == b"".join(parts)
assert s3().head_object(Bucket=bucket, Key="by hand")["ContentType"] == "text/parts"
for n, text in enumerate(parts, 1):
    got = s3().get_object(Bucket=bucket, Key="by hand", PartNumber=n)
    assert got["Body"].read() == text and got["PartsCount"] == len(parts) and got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert s3().head_object(Bucket=bucket, Key="by hand", PartNumber=n)["ContentLength"] == len(text)
refused("InvalidPartNumber", s3().get_object, Bucket=bucket, Key="by hand", PartNumber=len(parts) + 1)
about = s3().get_object_attributes(Bucket=bucket, Key="by hand", ObjectAttributes=["ETag", "ObjectParts", "ObjectSize"])
assert about["ObjectSize"] == sum(map(len, parts)) and about["ObjectParts"]["TotalPartsCount"] == len(parts), about
upload = s3().create_multipart_upload(Bucket=bucket, Key="given up")["UploadId"]
copied = s3().upload_part_copy(Bucket=bucket, Key="given up", UploadId=upload, PartNumber=1,
                               CopySource={"Bucket": bucket, "Key": "large"}, CopySourceRange="bytes=0-5242879")
assert copied["CopyPartResult"]["ETag"] == '"%s"' % hashlib.md5(large[: 5 << 20]).hexdigest()
s3().abort_multipart_upload(Bucket=bucket, Key="given up", UploadId=upload)
refused("NoSuchUpload", s3().list_parts, Bucket=bucket, Key="given up", UploadId=upload)

# copy
s3().copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a/b c+é"})
assert read("copy") == small and s3().head_object(Bucket=bucket, Key="copy")["Metadata"] == {"colour": "blue"}
s3().copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a/b c+é"}, MetadataDirective="REPLACE", Metadata={"n": "1"})
assert s3().head_object(Bucket=bucket, Key="copy")["Metadata"] == {"n": "1"}

# lists: 1,000 keys and a few, pages, prefixes, delimiters, order of bytes
names = sorted(["n/%d/%03d" % (i % 7, i) for i in range(1000)] + ["n/Z", "n/a", "n/é", "n/~", "n/!"], key=lambda n: n.encode())
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    list(pool.map(lambda n: s3().put_object(Bucket=bucket, Key=n, Body=n.encode()), names))
for version in ("list_objects", "list_objects_v2"):
    pages = s3().get_paginator(version).paginate(Bucket=bucket, Prefix="n/", PaginationConfig={"PageSize": 137})
    got = [o["Key"] for p in pages for o in p.get("Contents", [])]
    assert got == names, (version, len(got))
    pages = s3().get_paginator(version).paginate(Bucket=bucket, Prefix="n/", Delimiter="/", PaginationConfig={"PageSize": 3})
    prefixes, keys = [], []
    for p in pages:
        prefixes += [c["Prefix"] for c in p.get("CommonPrefixes", [])]
        keys += [o["Key"] for o in p.get("Contents", [])]
    assert prefixes == ["n/%d/" % i for i in range(7)], (version, prefixes)
    assert keys == sorted(["n/Z", "n/a", "n/é", "n/~", "n/!"], key=lambda n: n.encode()), (version, keys)

# presigned
context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"]) if endpoints[0].startswith("https") else None
link = s3().generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "copy", "ResponseContentType": "text/other"})
with urllib.request.urlopen(link, context=context) as reply:
    assert reply.read() == small and reply.headers["Content-Type"] == "text/other"
link = s3().generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "by link", "ContentType": "text/link"})
put = urllib.request.Request(link, data=b"from outside", method="PUT", headers={"Content-Type": "text/link"})  # urllib always sends some type
urllib.request.urlopen(put, context=context).close()
assert read("by link") == b"from outside"
assert s3().head_object(Bucket=bucket, Key="by link")["ContentType"] == "text/link"

# delete
refused("BucketNotEmpty", s3().delete_bucket, Bucket=bucket)
s3().delete_object(Bucket=bucket, Key="copy")
s3().delete_object(Bucket=bucket, Key="copy")
refused("NoSuchKey", s3().get_object, Bucket=bucket, Key="copy")
while True:
    page = s3().list_objects_v2(Bucket=bucket)
    if page["KeyCount"] == 0:
        break
    gone = s3().delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": o["Key"]} for o in page["Contents"]]})
    assert "Errors" not in gone and len(gone["Deleted"]) == len(page["Contents"]), gone
s3().delete_bucket(Bucket=bucket)
refused("404", s3().head_bucket, Bucket=bucket)
