"""Conditions of writes and deletes, and whose buckets are. Signed by hand: the parameters are newer than some of boto3. Arguments: bucket, endpoints
separated by commas."""
import base64
import concurrent.futures
import email.utils
import hashlib
import http.client
import itertools
import os
import re
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


def ask(method, path, body=b"", endpoint=None, **headers):
    """Sends a signed request and returns status, headers and body."""
    url = (endpoint or next(rounds)) + path
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    request = botocore.awsrequest.AWSRequest(method=method, url=url, data=body, headers=headers)
    botocore.auth.S3SigV4Auth(keys, "s3", "us-east-1").add_auth(request)
    at = urllib.parse.urlsplit(url)
    c = http.client.HTTPConnection(at.netloc, timeout=60)
    try:
        c.request(method, path, body, dict(request.headers.items()))
        r = c.getresponse()
        return r.status, r.headers, r.read().decode()
    finally:
        c.close()


def want(status, *texts):
    def check(got):
        assert got[0] == status and all(t in got[2] for t in texts), (status, texts, got[0], got[2])
        return got
    return check


def failed(name):
    return want(412, "<Code>PreconditionFailed</Code>", "<Condition>" + name + "</Condition>")


s3.create_bucket(Bucket=bucket)
k = f"/{bucket}/k"

# Of many creators through all gateways exactly one wins, by PUT and by completing an upload.
with concurrent.futures.ThreadPoolExecutor(25) as pool:
    def create(i):
        status, _, body = ask("PUT", f"/{bucket}/race", b"%d" % i, endpoint=endpoints[i % len(endpoints)], If_None_Match="*")
        return i, status, body
    results = list(pool.map(create, range(100)))
winners = [i for i, status, _ in results if status == 200]
assert len(winners) == 1 and all(status in (200, 412, 409) for _, status, _ in results), results
for e in endpoints:
    assert ask("GET", f"/{bucket}/race", endpoint=e)[2] == str(winners[0])

uploads = []
for i in range(10):
    of = {"Bucket": bucket, "Key": "raced", "UploadId": s3.create_multipart_upload(Bucket=bucket, Key="raced")["UploadId"]}
    etag = s3.upload_part(PartNumber=1, Body=b"%d" % i, **of)["ETag"]
    uploads.append((of["UploadId"], "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + etag + "</ETag></Part></CompleteMultipartUpload>"))
with concurrent.futures.ThreadPoolExecutor(10) as pool:
    results = list(pool.map(lambda u: ask("POST", f"/{bucket}/raced?uploadId=" + u[0], u[1].encode(), If_None_Match="*")[0], uploads))
assert sorted(results)[0] == 200 and set(sorted(results)[1:]) <= {412, 409}, results

# Deletes: by ETag, size and time; what is not there is no obstacle.
for versioning in None, "Enabled":
    if versioning:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": versioning})
    for header in {"If_Match": '"other"'}, {"If_Match": "*"}, {"x_amz_if_match_size": "1"}, {"x_amz_if_match_last_modified_time": email.utils.formatdate(0, usegmt=True)}:
        got = want(204)(ask("DELETE", k, **header))
        assert got[1]["x-amz-delete-marker"] is None
    etag = want(200)(ask("PUT", k, b"hello"))[1]["ETag"]
    modified = ask("HEAD", k)[1]["Last-Modified"]
    failed("If-Match")(ask("DELETE", k, If_Match='"other"'))
    failed("x-amz-if-match-size")(ask("DELETE", k, x_amz_if_match_size="4"))
    failed("x-amz-if-match-size")(ask("DELETE", k, If_Match=etag, x_amz_if_match_size="4"))
    failed("x-amz-if-match-last-modified-time")(ask("DELETE", k, x_amz_if_match_last_modified_time=email.utils.formatdate(0, usegmt=True)))
    want(400, "InvalidArgument")(ask("DELETE", k, x_amz_if_match_size="many"))
    want(400, "InvalidArgument")(ask("DELETE", k, x_amz_if_match_last_modified_time="yesterday"))
    want(200, "hello")(ask("GET", k))
    want(204)(ask("DELETE", k, If_Match=etag, x_amz_if_match_size="5", x_amz_if_match_last_modified_time=modified))
    want(404)(ask("GET", k))

    def delete(*items):
        body = ("<Delete>" + "".join("<Object>" + i + "</Object>" for i in items) + "</Delete>").encode()
        return ask("POST", f"/{bucket}?delete", body, Content_MD5=base64.b64encode(hashlib.md5(body).digest()).decode())
    for i in range(5):
        want(200)(ask("PUT", f"/{bucket}/m{i}", b"hello"))
    modified = ask("HEAD", f"/{bucket}/m3")[1]["Last-Modified"]
    got = want(200)(delete(
        "<Key>m0</Key><ETag>other</ETag>", "<Key>m1</Key><ETag>" + etag + "</ETag>", "<Key>m2</Key><Size>4</Size>",
        "<Key>m3</Key><Size>5</Size><LastModifiedTime>" + modified + "</LastModifiedTime>",
        "<Key>m4</Key><LastModifiedTime>2015-01-01T00:00:00Z</LastModifiedTime>", "<Key>none</Key><Size>4</Size>"))[2]
    assert sorted(re.findall("<Deleted><Key>(.*?)</Key>", got)) == ["m1", "m3", "none"], got
    assert re.findall("<Error><Key>(.*?)</Key><Code>(.*?)</Code>", got) == [(k, "PreconditionFailed") for k in ("m0", "m2", "m4")], got

# The condition that failed is named; a 304 has the validators and nothing else.
put = want(200)(ask("PUT", k, b"hello"))
failed("If-None-Match")(ask("PUT", k, b"x", If_None_Match="*"))
failed("If-Match")(ask("PUT", k, b"x", If_Match='"other"'))
failed("If-Match")(ask("GET", k, If_Match='"other"'))
failed("If-Unmodified-Since")(ask("GET", k, If_Unmodified_Since=email.utils.formatdate(0, usegmt=True)))
for name, value in ("if-match", "other"), ("if-none-match", etag), ("if-unmodified-since", email.utils.formatdate(0, usegmt=True)):
    title = "-".join(w.title() for w in name.split("-"))
    for to in "copy1", "copy2", "copy3":  # of either owner
        failed("x-amz-copy-source-" + title)(ask("PUT", f"/{bucket}/{to}", **{"x-amz-copy-source": k, "x-amz-copy-source-" + name: value}))
for e in endpoints:
    for method in "GET", "HEAD":
        got = want(304)(ask(method, k, endpoint=e, If_None_Match=etag))
        assert got[2] == "" and got[1]["ETag"] == etag and got[1]["Last-Modified"] and got[1]["x-amz-version-id"] == put[1]["x-amz-version-id"], got

# Composite checksums are made of those of the parts, which must be named.
created = want(200)(ask("POST", k + "?uploads", x_amz_checksum_algorithm="SHA256"))
want(200, "<ChecksumAlgorithm>SHA256</ChecksumAlgorithm><ChecksumType>COMPOSITE</ChecksumType>")(ask("GET", f"/{bucket}?uploads"))
upload = re.search("<UploadId>(.*)</UploadId>", created[2]).group(1)
part = want(200)(ask("PUT", f"{k}?partNumber=1&uploadId={upload}", b"part", x_amz_checksum_sha256=base64.b64encode(hashlib.sha256(b"part").digest()).decode()))
complete = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + part[1]["ETag"] + "</ETag>%s</Part></CompleteMultipartUpload>"
named = "<ChecksumSHA256>" + part[1]["x-amz-checksum-sha256"] + "</ChecksumSHA256>"
want(400, "<Code>InvalidRequest</Code>", "missing for part 1")(ask("POST", f"{k}?uploadId={upload}", (complete % "").encode()))
want(400, "<Code>InvalidRequest</Code>")(ask("POST", f"{k}?uploadId={upload}", (complete % named).encode(), x_amz_checksum_sha256="bad"))
want(200, "COMPOSITE")(ask("POST", f"{k}?uploadId={upload}", (complete % named).encode()))
want(200, "COMPOSITE")(ask("POST", f"{k}?uploadId={upload}", (complete % "").encode()))  # once more
for listing in "?list-type=2", "?versions":
    want(200, "<ChecksumAlgorithm>SHA256</ChecksumAlgorithm><ChecksumType>COMPOSITE</ChecksumType>")(ask("GET", f"/{bucket}{listing}"))

# Whose bucket it is.
for owner in "000000000000", os.environ["AWS_ACCESS_KEY_ID"]:
    want(200)(ask("GET", k, x_amz_expected_bucket_owner=owner))
    want(200)(ask("GET", f"/{bucket}", x_amz_expected_bucket_owner=owner))
    want(200)(ask("PUT", f"/{bucket}/copy", x_amz_copy_source=k, x_amz_source_expected_bucket_owner=owner, x_amz_expected_bucket_owner=owner))
other = {"x_amz_expected_bucket_owner": "111122223333"}
for method, path in ("GET", k), ("HEAD", k), ("PUT", k), ("DELETE", k), ("GET", f"/{bucket}"), ("GET", f"/{bucket}?versioning"), ("POST", f"/{bucket}?delete"), ("DELETE", f"/{bucket}"):
    body = b"<Delete><Object><Key>k</Key></Object></Delete>" if method == "POST" else b""
    want(403, "" if method == "HEAD" else "<Code>AccessDenied</Code>")(ask(method, path, body, **other))
want(403, "AccessDenied")(ask("PUT", f"/{bucket}/copy", x_amz_copy_source=k, x_amz_source_expected_bucket_owner="111122223333"))
want(404, "NoSuchBucket")(ask("GET", f"/{bucket}-none", **other))
want(200)(ask("GET", k))

# What nobody can set.
want(404, "ReplicationConfigurationNotFoundError", "<BucketName>" + bucket)(ask("GET", f"/{bucket}?replication"))
want(204)(ask("DELETE", f"/{bucket}?replication"))
want(400, "MalformedXML")(ask("PUT", f"/{bucket}?replication", b"<ReplicationConfiguration/>"))
want(501, "NotImplemented")(ask("GET", k + "?torrent"))
want(501, "NotImplemented")(ask("POST", k + "?select&select-type=2", b"<SelectObjectContentRequest/>"))
want(400, "InvalidStorageClass")(ask("PUT", k, x_amz_storage_class="BEST"))
want(501, "NotImplemented")(ask("PUT", k, x_amz_storage_class="GLACIER"))
want(501, "NotImplemented")(ask("POST", k + "?uploads", x_amz_storage_class="DEEP_ARCHIVE"))
want(200)(ask("PUT", k, x_amz_copy_source=k, x_amz_storage_class="STANDARD"))

# Who states no checksum gets a CRC64NVME of the whole object, by every gateway, also of an upload in parts.
nvme = "rosUhgp5mIg="  # of 123456789
for i, e in enumerate(endpoints):
    got = want(200)(ask("PUT", f"/{bucket}/sum{i}", b"123456789", endpoint=e))
    assert got[1]["x-amz-checksum-crc64nvme"] == nvme and got[1]["x-amz-checksum-type"] == "FULL_OBJECT", got
    for other in endpoints:
        client = boto3.client("s3", endpoint_url=other)
        head = client.head_object(Bucket=bucket, Key=f"sum{i}", ChecksumMode="ENABLED")["ResponseMetadata"]["HTTPHeaders"]
        assert head["x-amz-checksum-crc64nvme"] == nvme and head["x-amz-checksum-type"] == "FULL_OBJECT", head
        assert client.get_object(Bucket=bucket, Key=f"sum{i}", ChecksumMode="ENABLED")["Body"].read() == b"123456789"
    want(200, f"<ChecksumCRC64NVME>{nvme}<", "<ChecksumType>FULL_OBJECT<")(ask("GET", f"/{bucket}/sum{i}?attributes", x_amz_object_attributes="Checksum"))
    want(200, f"<ChecksumCRC64NVME>{nvme}<")(ask("PUT", f"/{bucket}/sum{i}-copy", x_amz_copy_source=f"/{bucket}/sum{i}"))
    many = f"/{bucket}/sum{i}-parts"
    upload = re.search("<UploadId>(.*)</UploadId>", want(200)(ask("POST", many + "?uploads"))[2]).group(1)
    part = want(200)(ask("PUT", f"{many}?partNumber=1&uploadId={upload}", b"123456789"))
    assert part[1]["x-amz-checksum-crc64nvme"] == nvme, part
    assert "Checksum" not in want(200)(ask("GET", f"{many}?uploadId={upload}"))[2]
    named = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + part[1]["ETag"] + "</ETag></Part></CompleteMultipartUpload>"
    want(400, "InvalidRequest")(ask("POST", f"{many}?uploadId={upload}", named.encode(), x_amz_checksum_type="COMPOSITE"))
    want(200, f"<ChecksumCRC64NVME>{nvme}<", "<ChecksumType>FULL_OBJECT<")(ask("POST", f"{many}?uploadId={upload}", named.encode(), x_amz_checksum_type="FULL_OBJECT"))
    head = want(200)(ask("HEAD", many, x_amz_checksum_mode="ENABLED"))[1]
    assert head["x-amz-checksum-crc64nvme"] == nvme and head["x-amz-checksum-type"] == "FULL_OBJECT", head
for listing in ("?list-type=2&prefix=sum0", "?prefix=sum0", "?versions&prefix=sum0"):
    want(200, "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>")(ask("GET", f"/{bucket}{listing}"))

# Replication: AWS's refusals, and 501 only for what would have to be carried out; rules that are switched off are kept.
far = bucket + "-replica"
s3.create_bucket(Bucket=far)


def replication(status="Enabled", to=far, **more):
    rule = {"ID": "r", "Status": status, "Priority": 1, "Filter": {"Prefix": "p/"}, "DeleteMarkerReplication": {"Status": "Disabled"}, "Destination": {"Bucket": "arn:aws:s3:::" + to}}
    return {"Role": "arn:aws:iam::000000000000:role/r", "Rules": [{k: v for k, v in dict(rule, **more).items() if v is not None}]}


def replicate(code, configuration):
    for e in endpoints:
        try:
            boto3.client("s3", endpoint_url=e).put_bucket_replication(Bucket=bucket + "-source", ReplicationConfiguration=configuration)
        except botocore.exceptions.ClientError as refusal:
            assert refusal.response["Error"]["Code"] == code, (code, refusal.response)
        else:
            assert code is None, configuration


s3.create_bucket(Bucket=bucket + "-source")
replicate("InvalidRequest", replication())  # no versions
for b in (bucket + "-source", far):
    replicate("InvalidRequest", replication())
    s3.put_bucket_versioning(Bucket=b, VersioningConfiguration={"Status": "Enabled"})
replicate("InvalidRequest", replication(to=bucket + "-none"))
replicate("InvalidRequest", replication(to=bucket + "-source"))
replicate("InvalidRequest", replication(Priority=None))
replicate("InvalidRequest", replication(DeleteMarkerReplication=None))
replicate("InvalidArgument", dict(replication(), Role="me"))
replicate("NotImplemented", replication())
want(404, "ReplicationConfigurationNotFoundError")(ask("GET", f"/{bucket}-source?replication"))
replicate(None, replication(status="Disabled"))
for e in endpoints:
    assert boto3.client("s3", endpoint_url=e).get_bucket_replication(Bucket=bucket + "-source")["ReplicationConfiguration"] == replication(status="Disabled")
want(204)(ask("DELETE", f"/{bucket}-source?replication"))
want(404, "ReplicationConfigurationNotFoundError")(ask("GET", f"/{bucket}-source?replication"))

# Storage classes are labels: told wherever AWS tells them, through every gateway.
name, label = "class/k", "STANDARD_IA"


def classes(client):
    head = client.head_object(Bucket=bucket, Key=name)
    assert client.get_object(Bucket=bucket, Key=name).get("StorageClass") == head.get("StorageClass"), head
    told = {o["StorageClass"] for o in client.list_objects_v2(Bucket=bucket, Prefix=name)["Contents"] + client.list_objects(Bucket=bucket, Prefix=name)["Contents"]}
    told |= {v["StorageClass"] for v in client.list_object_versions(Bucket=bucket, Prefix=name)["Versions"] if v["IsLatest"]}
    told.add(client.get_object_attributes(Bucket=bucket, Key=name, ObjectAttributes=["StorageClass"])["StorageClass"])
    assert len(told) == 1, told
    assert head.get("StorageClass", "STANDARD") == min(told) and head.get("StorageClass") != "STANDARD", head
    return min(told)


for i, label in enumerate(("REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "STANDARD")):
    client = boto3.client("s3", endpoint_url=endpoints[i % len(endpoints)])
    client.put_object(Bucket=bucket, Key=name, Body=b"x" * (1 << 4 * i), StorageClass=label)
    assert classes(client) == label
client.copy_object(Bucket=bucket, Key=name, CopySource=f"{bucket}/{name}", StorageClass="ONEZONE_IA")
assert classes(client) == "ONEZONE_IA"
client.put_object_tagging(Bucket=bucket, Key=name, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
assert classes(client) == "ONEZONE_IA"
client.copy_object(Bucket=bucket, Key=name + "2", CopySource=f"{bucket}/{name}")
assert "StorageClass" not in client.head_object(Bucket=bucket, Key=name + "2")
upload = client.create_multipart_upload(Bucket=bucket, Key=name, StorageClass="GLACIER_IR")["UploadId"]
named = dict(Bucket=bucket, Key=name, UploadId=upload)
etag = client.upload_part(PartNumber=1, Body=b"part", **named)["ETag"]
assert client.list_parts(**named)["StorageClass"] == "GLACIER_IR"
assert [u["StorageClass"] for u in client.list_multipart_uploads(Bucket=bucket, Prefix=name)["Uploads"]] == ["GLACIER_IR"]
client.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}, **named)
client.delete_object(Bucket=bucket, Key=name + "2")
assert classes(client) == "GLACIER_IR"
