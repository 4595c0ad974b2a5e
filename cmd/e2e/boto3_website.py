"""Websites with boto3, and with what browsers send. Arguments: bucket, endpoints separated by commas. s3.website-domain is web.test."""
import http.client
import itertools
import json
import sys
import urllib.parse

import boto3
import botocore.exceptions

bucket, endpoints = sys.argv[1], sys.argv[2].split(",")
rounds = itertools.cycle([boto3.client("s3", endpoint_url=e) for e in endpoints])
addresses = itertools.cycle(urllib.parse.urlsplit(e).netloc for e in endpoints)


def s3():
    return next(rounds)


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code, (code, e.response)
        return e.response
    raise AssertionError("want " + code)


def browse(path, method="GET", host=bucket + ".web.test", **headers):
    """Asks the next gateway for a page."""
    c = http.client.HTTPConnection(next(addresses), timeout=30)
    c.request(method, path, headers={"Host": host, **headers})
    r = c.getresponse()
    body = r.read().decode()
    c.close()
    return r.status, {k.lower(): v for k, v in r.getheaders()}, body


def page(path, status, body=None, location=None, **more):
    for _ in endpoints:
        for method in ("GET", "HEAD"):
            got, headers, text = browse(path, method, **more)
            assert got == status, (method, path, got, headers, text)
            assert headers.get("location") == location, (path, headers)
            if method == "HEAD":
                assert text == ""
            elif body is not None:
                assert body in text, (path, text)


s3().create_bucket(Bucket=bucket)
assert refused("NoSuchWebsiteConfiguration", s3().get_bucket_website, Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 404
page("/", 404, "<li>Code: NoSuchWebsiteConfiguration</li>")
page("/", 404, "<li>Code: NoSuchBucket</li>", host=bucket + "-none.web.test")

site = {
    "IndexDocument": {"Suffix": "index.html"},
    "ErrorDocument": {"Key": "error.html"},
    "RoutingRules": [
        {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "new/"}},
        {"Condition": {"KeyPrefixEquals": "gone", "HttpErrorCodeReturnedEquals": "404"},
         "Redirect": {"Protocol": "https", "HostName": "example.com", "ReplaceKeyWith": "away", "HttpRedirectCode": "307"}},
    ],
}
refused("InvalidArgument", s3().put_bucket_website, Bucket=bucket, WebsiteConfiguration={"IndexDocument": {"Suffix": "a/b"}})
refused("InvalidArgument", s3().put_bucket_website, Bucket=bucket, WebsiteConfiguration={"ErrorDocument": {"Key": "k"}})
refused("NoSuchBucket", s3().put_bucket_website, Bucket=bucket + "-none", WebsiteConfiguration=site)
s3().put_bucket_website(Bucket=bucket, WebsiteConfiguration=site)
for _ in endpoints:
    got = s3().get_bucket_website(Bucket=bucket)
    assert {k: got[k] for k in site} == site, got

# nobody may read anything yet
s3().put_object(Bucket=bucket, Key="index.html", Body=b"the index", ContentType="text/html")
s3().put_object(Bucket=bucket, Key="error.html", Body=b"the error page", ContentType="text/html")
page("/", 403, "An Error Occurred While Attempting to Retrieve a Custom Error Document")
s3().put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::%s/*" % bucket},
    {"Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::" + bucket},
    {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::%s/secret/*" % bucket, "Condition": {"StringNotEquals": {"aws:PrincipalType": "Account"}}},
]}))
here = "http://%s.web.test" % bucket
page("/", 200, "the index")
page("/?acl&whatever=1", 200, "the index")
for n in range(6):
    s3().put_object(Bucket=bucket, Key="dir%d/index.html" % n, Body=b"index %d" % n)
    page("/dir%d/" % n, 200, "index %d" % n)
    page("/dir%d" % n, 302, location="%s/dir%d/" % (here, n))
    page("/nothing%d" % n, 404, "the error page")
s3().put_object(Bucket=bucket, Key="secret/x", Body=b"x")
page("/secret/x", 403, "the error page")
page("/old/a%20b", 301, location=here + "/new/a%20b")
page("/gone", 307, location="https://example.com/away")
s3().put_object(Bucket=bucket, Key="gone", Body=b"is back")
page("/gone", 200, "is back")
status, headers, body = browse("/", Range="bytes=4-8")
assert (status, body) == (206, "index"), (status, body)
status, headers, body = browse("/", **{"If-None-Match": headers["etag"]})
assert (status, body) == (304, ""), (status, body)
status, headers, body = browse("/nothing")
assert headers["x-amz-error-code"] == "NoSuchKey" and headers["content-type"] == "text/html", headers
for method in ("PUT", "POST", "DELETE"):
    assert browse("/x", method)[0] == 405
s3().delete_object(Bucket=bucket, Key="error.html")
page("/nothing", 404, "<li>Key: nothing</li>")

# objects that send browsers elsewhere
s3().put_object(Bucket=bucket, Key="moved", Body=b"x", WebsiteRedirectLocation="/target")
for _ in endpoints:
    assert s3().head_object(Bucket=bucket, Key="moved")["WebsiteRedirectLocation"] == "/target"
    assert s3().get_object(Bucket=bucket, Key="moved")["Body"].read() == b"x"
page("/moved", 301, location="/target")
source = {"Bucket": bucket, "Key": "moved"}
s3().copy_object(Bucket=bucket, Key="copied", CopySource=source)
assert "WebsiteRedirectLocation" not in s3().head_object(Bucket=bucket, Key="copied")
s3().copy_object(Bucket=bucket, Key="copied", CopySource=source, WebsiteRedirectLocation="https://example.com/")
page("/copied", 301, location="https://example.com/")
s3().copy_object(Bucket=bucket, Key="moved", CopySource=source, WebsiteRedirectLocation="/other")
page("/moved", 301, location="/other")
upload = s3().create_multipart_upload(Bucket=bucket, Key="parts", WebsiteRedirectLocation="/whole")["UploadId"]
etag = s3().upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
s3().complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
assert s3().head_object(Bucket=bucket, Key="parts")["WebsiteRedirectLocation"] == "/whole"
refused("InvalidRedirectLocation", s3().put_object, Bucket=bucket, Key="bad", WebsiteRedirectLocation="ftp://x")

# everything elsewhere, and nothing
s3().put_bucket_website(Bucket=bucket, WebsiteConfiguration={"RedirectAllRequestsTo": {"HostName": "example.com", "Protocol": "https"}})
page("/any/thing", 301, location="https://example.com/any/thing")
assert s3().delete_bucket_website(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
page("/", 404, "NoSuchWebsiteConfiguration")
