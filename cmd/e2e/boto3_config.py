"""Tags and configurations with boto3. Arguments: bucket, endpoints separated by commas."""
import itertools
import json
import sys
import urllib.error
import urllib.request

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

# tags of buckets, and who pays
refused("NoSuchTagSet", s3().get_bucket_tagging, Bucket=bucket)
s3().put_bucket_tagging(Bucket=bucket, Tagging=tag_set(**{"k%d" % i: "v" for i in range(50)}))
for _ in endpoints:
    assert len(s3().get_bucket_tagging(Bucket=bucket)["TagSet"]) == 50
refused("InvalidTag", s3().put_bucket_tagging, Bucket=bucket, Tagging=tag_set(**{"k%d" % i: "v" for i in range(51)}))
s3().delete_bucket_tagging(Bucket=bucket)
refused("NoSuchTagSet", s3().get_bucket_tagging, Bucket=bucket)
refused("NoSuchBucket", s3().get_bucket_tagging, Bucket=bucket + "-not")
refused("NoSuchBucket", s3().put_bucket_tagging, Bucket=bucket + "-not", Tagging=tag_set(a="b"))
assert s3().get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
s3().put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
assert s3().get_bucket_request_payment(Bucket=bucket)["Payer"] == "Requester"

# what no bucket has
assert "Status" not in s3().get_bucket_accelerate_configuration(Bucket=bucket)
for kind in ("analytics", "inventory", "metrics", "intelligent_tiering"):
    assert getattr(s3(), "list_bucket_%s_configurations" % kind)(Bucket=bucket)["IsTruncated"] is False
    refused("NoSuchConfiguration", getattr(s3(), "get_bucket_%s_configuration" % kind), Bucket=bucket, Id="x")

# CORS
refused("NoSuchCORSConfiguration", s3().get_bucket_cors, Bucket=bucket)
rule = {"AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["https://*.example.com"], "AllowedHeaders": ["x-amz-*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60}
s3().put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
for _ in endpoints:
    assert s3().get_bucket_cors(Bucket=bucket)["CORSRules"] == [rule]
refused("InvalidRequest", s3().put_bucket_cors, Bucket=bucket, CORSConfiguration={"CORSRules": [dict(rule, AllowedMethods=["OPTIONS"])]})


def http(method, url, body=None, **headers):
    """Sends a request that boto3 would not; names of headers are written with '_'."""
    r = urllib.request.Request(url, data=body, method=method, headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(r) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read()


for e in endpoints:
    url = "%s/%s/tagged" % (e, bucket)
    status, headers, _ = http("OPTIONS", url, Origin="https://a.example.com", Access_Control_Request_Method="PUT", Access_Control_Request_Headers="x-amz-date")
    assert status == 200 and headers["Access-Control-Allow-Origin"] == "https://a.example.com", (status, headers)
    assert headers["Access-Control-Allow-Methods"] == "GET, PUT" and headers["Access-Control-Allow-Headers"] == "x-amz-date"
    status, headers, body = http("OPTIONS", url, Origin="https://other", Access_Control_Request_Method="PUT")
    assert status == 403 and b"AccessForbidden" in body, (status, body)
    assert http("OPTIONS", url)[0] == 400
    assert http("OPTIONS", "%s/%s-not/x" % (e, bucket), Origin="https://a.example.com", Access_Control_Request_Method="PUT")[0] == 404
    status, headers, _ = http("GET", s3().generate_presigned_url("get_object", Params=of), Origin="https://a.example.com")
    assert status == 200 and headers["Access-Control-Allow-Origin"] == "https://a.example.com" and headers["Access-Control-Expose-Headers"] == "ETag"
    status, headers, _ = http("GET", url, Origin="https://a.example.com")
    assert status == 403 and headers["Access-Control-Allow-Origin"] == "https://a.example.com", (status, headers)
    assert http("GET", url, Origin="https://other")[1]["Access-Control-Allow-Origin"] is None
s3().delete_bucket_cors(Bucket=bucket)
refused("NoSuchCORSConfiguration", s3().get_bucket_cors, Bucket=bucket)


# a browser's form
def post(url, fields, data):
    lines = []
    for name, value in fields.items():
        lines += [b"--bnd", b'Content-Disposition: form-data; name="%s"' % name.encode(), b"", value.encode()]
    lines += [b"--bnd", b'Content-Disposition: form-data; name="file"; filename="photo.jpg"', b"Content-Type: image/jpeg", b"", data, b"--bnd--", b""]
    return http("POST", url, b"\r\n".join(lines), Content_Type="multipart/form-data; boundary=bnd")


large = b"0123456789abcdef" * (3 << 16)
for n, e in enumerate(endpoints):
    key = "form/%d-${filename}" % n
    tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    form = clients[n].generate_presigned_post(
        bucket, key, Fields={"x-amz-meta-colour": "blue", "success_action_status": "201", "Content-Type": "image/jpeg", "tagging": tags},
        Conditions=[["starts-with", "$x-amz-meta-colour", "b"], {"success_action_status": "201"}, ["eq", "$Content-Type", "image/jpeg"],
                    {"tagging": tags}, ["content-length-range", 10, len(large)]])
    status, headers, body = post(form["url"], form["fields"], large)
    name = "form/%d-photo.jpg" % n
    assert status == 201 and b"<Key>%s</Key>" % name.encode() in body, (status, body)
    got = s3().get_object(Bucket=bucket, Key=name)
    assert got["Body"].read() == large and got["ETag"] == headers["ETag"] and got["Metadata"] == {"colour": "blue"} and got["TagCount"] == 1, got
    assert got["ContentType"] == "image/jpeg"
    for data, code in ((large + b"x", b"EntityTooLarge"), (b"short", b"EntityTooSmall")):
        status, _, body = post(form["url"], form["fields"], data)
        assert status == 400 and code in body, (status, body)
    assert s3().head_object(Bucket=bucket, Key=name)["ETag"] == got["ETag"]
    status, _, body = post(form["url"], dict(form["fields"], **{"x-amz-meta-colour": "red"}), b"refused")
    assert status == 403 and b"AccessDenied" in body, (status, body)
    status, _, body = post(form["url"], {"key": "x"}, b"refused")
    assert status == 403 and b"AccessDenied" in body, (status, body)

# a bucket that is made with tags, where boto3 knows them; and a source that there is not is the one that is named
if boto3.__version__ > "1.40":
    s3().create_bucket(Bucket=bucket + "-tags", CreateBucketConfiguration={"Tags": [{"Key": "a", "Value": "b"}]})
    assert s3().get_bucket_tagging(Bucket=bucket + "-tags")["TagSet"] == tag_set(a="b")["TagSet"]
    s3().delete_bucket(Bucket=bucket + "-tags")
for i in range(4):
    to = {"Bucket": bucket, "Key": "to%d" % i}
    assert refused("NoSuchKey", s3().copy_object, CopySource={"Bucket": bucket, "Key": "none"}, **to)["Error"]["Key"] == "none"
    assert refused("NoSuchBucket", s3().copy_object, CopySource={"Bucket": "nonesuch", "Key": "k"}, **to)["Error"]["BucketName"] == "nonesuch"

# a form that nobody signed, where the bucket's policy lets anybody write
s3().put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::%s/open/*" % bucket}]}))
for e in endpoints:
    status, headers, body = post("%s/%s" % (e, bucket), {"key": "open/${filename}"}, large)
    assert status == 204, (status, body)
    status, _, body = post("%s/%s" % (e, bucket), {"key": "closed"}, b"refused")
    assert status == 403 and b"AccessDenied" in body, (status, body)
assert s3().get_object(Bucket=bucket, Key="open/photo.jpg")["Body"].read() == large
