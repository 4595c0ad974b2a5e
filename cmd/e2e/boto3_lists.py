"""Pages of lists, limits of uploads, conditions of copies, bodies that are no XML, methods that there are not, and presigned URLs. Arguments: bucket, endpoints
separated by commas."""
import itertools
import os
import re
import sys
import urllib.error
import urllib.request

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions

bucket, endpoints = sys.argv[1], sys.argv[2].split(",")
rounds = itertools.cycle(endpoints)
keys = botocore.credentials.Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
clients = itertools.cycle([boto3.client("s3", endpoint_url=e, config=botocore.config.Config(signature_version="s3v4")) for e in endpoints])


def s3():
    return next(clients)


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code, (code, e.response)
        return
    raise AssertionError("want " + code)


def ask(status, method, path, *fields, body=b""):
    """Sends a request that is signed by hand and returns the text of its reply, which must have the status."""
    address = next(rounds) + path
    request = botocore.awsrequest.AWSRequest(method=method, url=address, data=body, headers=dict(f.split(": ", 1) for f in fields))
    botocore.auth.S3SigV4Auth(keys, "s3", "us-east-1").add_auth(request)
    got = fetch(method, address, body or None, **dict(request.headers.items()))
    assert got[0] == status, (method, path, fields, status, got[0], got[2])
    return got[2]


def fetch(method, address, body=None, **headers):
    request = urllib.request.Request(address, data=body, method=method, headers={k: v for k, v in headers.items()})
    if body is None and method == "PUT":
        request.add_header("Content-Length", "0")
    try:
        with urllib.request.urlopen(request, timeout=60) as r:
            return r.status, r.headers, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read().decode()


s3().create_bucket(Bucket=bucket)
here = {"Bucket": bucket}

# ListParts in pages, each by another gateway.
up = s3().create_multipart_upload(**here, Key="p")["UploadId"]
for n in (1, 2, 3, 5, 10000):
    s3().upload_part(**here, Key="p", UploadId=up, PartNumber=n, Body=b"%d" % n)
after, seen = 0, []
while True:
    page = s3().list_parts(**here, Key="p", UploadId=up, MaxParts=2, PartNumberMarker=after)
    assert page["MaxParts"] == 2 and page["PartNumberMarker"] == after and len(page["Parts"]) <= 2, page
    seen += [p["PartNumber"] for p in page["Parts"]]
    if not page["IsTruncated"]:
        break
    after = page["NextPartNumberMarker"]
assert seen == [1, 2, 3, 5, 10000], seen
assert "Parts" not in s3().list_parts(**here, Key="p", UploadId=up, PartNumberMarker=10000)
for n in (0, 10001):
    refused("InvalidArgument", s3().upload_part, **here, Key="p", UploadId=up, PartNumber=n, Body=b"x")
parts = [{"PartNumber": p["PartNumber"], "ETag": p["ETag"]} for p in s3().list_parts(**here, Key="p", UploadId=up)["Parts"]]
refused("EntityTooSmall", s3().complete_multipart_upload, **here, Key="p", UploadId=up, MultipartUpload={"Parts": parts})
refused("InvalidPartOrder", s3().complete_multipart_upload, **here, Key="p", UploadId=up, MultipartUpload={"Parts": parts[::-1]})
refused("InvalidPart", s3().complete_multipart_upload, **here, Key="p", UploadId=up, MultipartUpload={"Parts": [{"PartNumber": 4, "ETag": parts[0]["ETag"]}]})
refused("NoSuchUpload", s3().list_parts, **here, Key="p", UploadId="none")

# ListMultipartUploads in pages, with several uploads of one key, and with a delimiter.
ids = {k: sorted(s3().create_multipart_upload(**here, Key=k)["UploadId"] for _ in range(2)) for k in ("a/1", "a/2", "b", "c/1")}


def uploads(**kwargs):
    found, prefixes, markers = [], [], {}
    while True:
        page = s3().list_multipart_uploads(**here, MaxUploads=2, **kwargs, **markers)
        assert len(page.get("Uploads", [])) + len(page.get("CommonPrefixes", [])) <= 2, page
        found += [(u["Key"], u["UploadId"]) for u in page.get("Uploads", [])]
        prefixes += [p["Prefix"] for p in page.get("CommonPrefixes", [])]
        if not page["IsTruncated"]:
            return found, prefixes
        markers = {"KeyMarker": page["NextKeyMarker"]}
        if page.get("NextUploadIdMarker"):
            markers["UploadIdMarker"] = page["NextUploadIdMarker"]


found, prefixes = uploads()
assert sorted(found) == sorted([(k, i) for k in ids for i in ids[k]] + [("p", up)]) and not prefixes, found
assert [k for k, _ in found] == sorted(k for k, _ in found), found
found, prefixes = uploads(Delimiter="/")
assert sorted(found) == sorted([("b", i) for i in ids["b"]] + [("p", up)]) and prefixes == ["a/", "c/"], (found, prefixes)
found, prefixes = uploads(Prefix="a/")
assert sorted(found) == sorted((k, i) for k in ("a/1", "a/2") for i in ids[k]) and not prefixes, found

# Conditions of copies: of the source of a part, and of what is overwritten.
etag = s3().put_object(**here, Key="src", Body=b"source")["ETag"]
src = {"Bucket": bucket, "Key": "src"}
copy = {**here, "Key": "p", "UploadId": up, "PartNumber": 7, "CopySource": src}
s3().upload_part_copy(**copy, CopySourceIfMatch=etag)
s3().upload_part_copy(**copy, CopySourceIfNoneMatch='"0"', CopySourceRange="bytes=0-2")
refused("PreconditionFailed", s3().upload_part_copy, **copy, CopySourceIfMatch='"0"')
refused("PreconditionFailed", s3().upload_part_copy, **copy, CopySourceIfNoneMatch=etag)
refused("PreconditionFailed", s3().upload_part_copy, **copy, CopySourceIfUnmodifiedSince="2001-01-01T00:00:00Z")
refused("InvalidArgument", s3().upload_part_copy, **copy, CopySourceRange="bytes=0-100")
for condition, status in (("If-None-Match: *", 200), ("If-None-Match: *", 412), ("If-Match: " + etag, 200), ('If-Match: "0"', 412)):
    ask(status, "PUT", f"/{bucket}/dst", condition, f"x-amz-copy-source: /{bucket}/src")

# Lists of objects.
for k in ("l/a b", "l/b", "l/c/1", "l/c/2", "l/ü"):
    s3().put_object(**here, Key=k, Body=b"")


def listed_keys(**kwargs):
    return [o["Key"] for o in s3().list_objects_v2(**here, Prefix="l/", **kwargs).get("Contents", [])]


assert listed_keys(StartAfter="l/b") == ["l/c/1", "l/c/2", "l/ü"]
assert listed_keys(StartAfter="l/b", Delimiter="/") == ["l/ü"]
listed = ask(200, "GET", f"/{bucket}?encoding-type=url&list-type=2&prefix=l%2F")
assert "<EncodingType>url</EncodingType>" in listed and "%C3%BC</Key>" in listed and "a b</Key>" not in listed, listed
got = s3().list_objects_v2(**here, MaxKeys=0)
assert not got["IsTruncated"] and got["KeyCount"] == 0 and "Contents" not in got, got
assert all("Owner" in o for o in s3().list_objects_v2(**here, FetchOwner=True)["Contents"])
assert not any("Owner" in o for o in s3().list_objects_v2(**here)["Contents"])
refused("InvalidArgument", s3().list_objects_v2, **here, ContinuationToken="nonsense")
refused("InvalidArgument", s3().list_objects_v2, **here, MaxKeys=-1)
pages = [p for p in s3().get_paginator("list_objects_v2").paginate(**here, Prefix="l/", Delimiter="/", PaginationConfig={"PageSize": 1})]
assert [o["Key"] for p in pages for o in p.get("Contents", [])] == ["l/a b", "l/b", "l/ü"] and [c["Prefix"] for p in pages for c in p.get("CommonPrefixes", [])] == ["l/c/"]

# ListBuckets in pages.
paged = [f"{bucket}-paged-{n}" for n in range(4)]
for name in paged:
    s3().create_bucket(Bucket=name)
token, names = "", []
while token is not None:
    text = ask(200, "GET", f"/?max-buckets=3&prefix={bucket}-paged-" + token)
    page = re.findall("<Name>(.*?)</Name>", text)
    assert len(page) <= 3, text
    names += page
    more = re.search("<ContinuationToken>(.+?)</ContinuationToken>", text)
    token = more and "&continuation-token=" + more[1]
assert names == paged, names
for name in paged:
    s3().delete_bucket(Bucket=name)

# Bodies that are no XML, or that of another request, change nothing.
for query in ("tagging", "cors", "lifecycle", "website", "versioning", "logging", "notification", "encryption", "requestPayment", "ownershipControls",
              "publicAccessBlock", "object-lock", "replication"):
    for body in (b"<a><b>", b"<Other/>", b"\xff"):
        text = ask(400, "PUT", f"/{bucket}?{query}", body=body)
        assert "<Code>MalformedXML</Code>" in text or "<Code>IllegalVersioningConfigurationException</Code>" in text, (query, body, text)
for query in ("tagging", "acl", "retention", "legal-hold"):
    text = ask(400, "PUT", f"/{bucket}/src?{query}", body=b"<a><b>")
    assert "<Code>Malformed" in text or "<Code>InvalidRequest<" in text or "NotSupported<" in text, (query, text)
assert "<Code>MalformedXML</Code>" in ask(400, "POST", f"/{bucket}?delete", body=b"<a><b>")
assert "<Code>MalformedXML</Code>" in ask(400, "POST", f"/{bucket}/p?uploadId={up}", body=b"<a><b>")
refused("NoSuchTagSet", s3().get_bucket_tagging, **here)
refused("NoSuchCORSConfiguration", s3().get_bucket_cors, **here)

# Methods that a resource has not.
for method, path in (("PUT", "/"), ("DELETE", "/"), ("PATCH", f"/{bucket}"), ("POST", f"/{bucket}/src"), ("PUT", f"/{bucket}?versions"), ("DELETE", f"/{bucket}?versioning"),
                     ("POST", f"/{bucket}?tagging"), ("PUT", f"/{bucket}/src?attributes"), ("DELETE", f"/{bucket}/src?acl"), ("PUT", f"/{bucket}?uploads")):
    text = ask(405, method, path, body=b"<x/>" if method in ("PUT", "POST") else b"")
    assert "<Code>MethodNotAllowed</Code>" in text, (method, path, text)
assert s3().get_object(**here, Key="src")["Body"].read() == b"source"


# Presigned URLs: each operation by its own, once with the signature and once with another.
def by_url(status, verb, operation, *texts, body=None, **kwargs):
    address = s3().generate_presigned_url(operation, Params={**here, **kwargs}, ExpiresIn=60)
    wrong = fetch(verb, re.sub("X-Amz-Signature=.", lambda m: m[0][:-1] + ("1" if m[0][-1] == "0" else "0"), address), body)
    assert wrong[0] == 403, (operation, wrong)
    got = fetch(verb, address, body)
    assert got[0] == status and all(t in got[2] for t in texts), (operation, status, texts, got[0], got[2])
    return got


s3().put_bucket_versioning(**here, VersioningConfiguration={"Status": "Enabled"})
first = by_url(200, "PUT", "put_object", Key="v", body=b"one")[1]["x-amz-version-id"]
second = by_url(200, "PUT", "put_object", Key="v", body=b"two")[1]["x-amz-version-id"]
by_url(200, "GET", "get_object", "one", Key="v", VersionId=first)
by_url(200, "HEAD", "head_object", Key="v", VersionId=second)
by_url(200, "GET", "list_object_versions", first, second, Prefix="v")
by_url(204, "DELETE", "delete_object", Key="v")
by_url(404, "GET", "get_object", "NoSuchKey", Key="v")
by_url(204, "DELETE", "delete_object", Key="v", VersionId=second)
by_url(200, "GET", "get_object", "one", Key="v", VersionId=first)
by_url(200, "GET", "list_objects", "<Key>src</Key>")
by_url(200, "GET", "list_objects_v2", "<Key>src</Key>", Prefix="s", Delimiter="/")
by_url(200, "HEAD", "head_bucket")
by_url(200, "GET", "get_bucket_versioning", "Enabled")
by_url(200, "GET", "list_multipart_uploads", up)
by_url(200, "GET", "list_parts", "<PartNumber>5</PartNumber>", Key="p", UploadId=up)
tags = b"<Tagging><TagSet><Tag><Key>k</Key><Value>by url</Value></Tag></TagSet></Tagging>"
assert fetch("PUT", s3().generate_presigned_url("get_object_tagging", Params={**here, "Key": "src"}, HttpMethod="PUT"), tags)[0] == 200
by_url(200, "GET", "get_object_tagging", "by url", Key="src")
by_url(204, "DELETE", "delete_object_tagging", Key="src")
by_url(200, "GET", "get_object_acl", "FULL_CONTROL", Key="src")
new = re.search("<UploadId>(.*?)</UploadId>", by_url(200, "POST", "create_multipart_upload", Key="m")[2])[1]
part = by_url(200, "PUT", "upload_part", Key="m", UploadId=new, PartNumber=1, body=b"a part")[1]["ETag"]
listed = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part}</ETag></Part></CompleteMultipartUpload>".encode()
by_url(200, "POST", "complete_multipart_upload", "<ETag>", Key="m", UploadId=new, body=listed)
by_url(200, "GET", "get_object", "a part", Key="m")
by_url(204, "DELETE", "abort_multipart_upload", Key="p", UploadId=up)
by_url(404, "GET", "list_parts", "NoSuchUpload", Key="p", UploadId=up)

# Nobody lists versions or uploads without a signature, nor with a URL that is over.
for query in ("versions", "uploads", "list-type=2", ""):
    assert fetch("GET", next(rounds) + f"/{bucket}?{query}")[0] == 403
