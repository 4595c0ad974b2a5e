"""Access logs with boto3. Arguments: bucket, endpoints separated by commas. logging.interval is half a second."""
import itertools
import re
import sys
import time
import urllib.error
import urllib.request

import boto3
import botocore.exceptions

bucket, endpoints = sys.argv[1], sys.argv[2].split(",")
rounds = itertools.cycle([boto3.client("s3", endpoint_url=e) for e in endpoints])
target = bucket + "-target"


def s3():
    return next(rounds)


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code, (code, e.response)
        return e.response
    raise AssertionError("want " + code)


def lines(prefix):
    """All lines of the log under a prefix, as lists of fields."""
    found = []
    for o in s3().list_objects_v2(Bucket=target, Prefix=prefix).get("Contents", []):
        text = s3().get_object(Bucket=target, Key=o["Key"])["Body"].read().decode()
        assert text.endswith("\n"), text
        for line in text.splitlines():
            fields = re.findall(r'"[^"]*"|\[[^\]]*\]|[^ ]+', line)
            assert len(fields) == 26, (len(fields), line)
            found.append(fields)
    return found


def wait(prefix, *wanted):
    """Waits until there is a line for each wanted (operation, key, status, error)."""
    deadline = time.time() + 60
    while True:
        got = {(f[6], f[7], f[9], f[10]): f for f in lines(prefix)}
        missing = [w for w in wanted if w not in got]
        if not missing:
            return got
        assert time.time() < deadline, (missing, sorted(got))
        time.sleep(0.3)


s3().create_bucket(Bucket=bucket)
s3().create_bucket(Bucket=target)
assert "LoggingEnabled" not in s3().get_bucket_logging(Bucket=bucket)


def status(**more):
    return {"LoggingEnabled": dict({"TargetBucket": target, "TargetPrefix": "simple/"}, **more)}


refused("InvalidTargetBucketForLogging", s3().put_bucket_logging, Bucket=bucket, BucketLoggingStatus=status(TargetBucket=bucket + "-none"))
refused("NoSuchBucket", s3().put_bucket_logging, Bucket=bucket + "-none", BucketLoggingStatus=status())
refused("InvalidBucketAclWithObjectOwnership", s3().put_bucket_logging, Bucket=bucket, BucketLoggingStatus=status(
    TargetGrants=[{"Grantee": {"Type": "CanonicalUser", "ID": "x"}, "Permission": "READ"}]))
s3().put_bucket_logging(Bucket=bucket, BucketLoggingStatus=status())
for _ in endpoints:
    assert s3().get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == status()["LoggingEnabled"]

for n in range(6):  # owned by any node, through each gateway
    s3().put_object(Bucket=bucket, Key="a b/%d" % n, Body=b"x" * 5000)
    assert len(s3().get_object(Bucket=bucket, Key="a b/%d" % n)["Body"].read()) == 5000
s3().list_objects_v2(Bucket=bucket)
for _ in endpoints:
    refused("NoSuchKey", s3().get_object, Bucket=bucket, Key="missing")
upload = s3().create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
s3().upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
s3().abort_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload)
s3().copy_object(Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": "a b/0"})
s3().delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copied"}]})
for e in endpoints:
    try:
        urllib.request.urlopen(urllib.request.Request(e + "/" + bucket + '/nobody?x="', headers={"User-Agent": 'evil" 1\t2'}))
    except urllib.error.HTTPError as refusal:
        assert refusal.code == 403 or refusal.code == 501, refusal
signed = s3().generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b/0"})
urllib.request.urlopen(signed).read()
got = wait("simple/", ("REST.GET.BUCKET", "-", "200", "-"), ("REST.GET.OBJECT", "missing", "404", "NoSuchKey"), ("REST.POST.UPLOADS", "parts", "200", "-"),
           ("REST.PUT.PART", "parts", "200", "-"), ("REST.DELETE.UPLOAD", "parts", "204", "-"), ("REST.COPY.OBJECT", "copied", "200", "-"),
           ("REST.POST.MULTI_OBJECT_DELETE", "-", "200", "-"), ("REST.GET.OBJECT", "nobody", "403", "AccessDenied"),
           *[("REST.%s.OBJECT" % m, "a%%20b/%d" % n, "200", "-") for n in range(6) for m in ("PUT", "GET")])
get = got[("REST.GET.OBJECT", "a%20b/5", "200", "-")]
assert get[1] == bucket and get[3] == "127.0.0.1" and get[4].endswith(":root") and get[11] == get[12] == "5000", get
assert get[8].startswith('"GET /%s/a%%20b/5' % bucket) and "oto" in get[16] and get[19:22] == ["SigV4", "-", "AuthHeader"], get
assert got[("REST.GET.OBJECT", "nobody", "403", "AccessDenied")][4] == "-"
assert not any("ignature=" in f[8] and "ignature=..." not in f[8] for f in lines("simple/"))
keys = [o["Key"] for o in s3().list_objects_v2(Bucket=target, Prefix="simple/")["Contents"]]
assert all(re.fullmatch(r"simple/\d{4}(-\d\d){5}-[A-Z0-9]{16}", k) for k in keys), keys

# partitioned keys, and no log any more
s3().put_bucket_logging(Bucket=bucket, BucketLoggingStatus=status(
    TargetPrefix="part/", TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": "EventTime"}})) if \
    "TargetObjectKeyFormat" in s3().meta.service_model.shape_for("LoggingEnabled").members else s3().put_bucket_logging(
        Bucket=bucket, BucketLoggingStatus=status(TargetPrefix="part/"))
for _ in endpoints:
    s3().head_object(Bucket=bucket, Key="a b/1")
wait("part/", ("REST.HEAD.OBJECT", "a%20b/1", "200", "-"))
keys = [o["Key"] for o in s3().list_objects_v2(Bucket=target, Prefix="part/")["Contents"]]
if "TargetObjectKeyFormat" in s3().get_bucket_logging(Bucket=bucket)["LoggingEnabled"]:
    assert all(re.fullmatch(r"part/\d{12}/us-east-1/%s/\d{4}/\d\d/\d\d/\d{4}-\d\d-\d\d-00-00-00-[A-Z0-9]{16}" % bucket, k) for k in keys), keys

# grants of logs, where the target bucket has lists
listed = bucket + "-listed"
s3().create_bucket(Bucket=listed, ObjectOwnership="ObjectWriter")
everybody = {"Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}, "Permission": "READ"}
for grant, code in ((dict(everybody, Permission="READ_ACP"), "MalformedXML"), (dict(everybody, Grantee={"Type": "CanonicalUser", "ID": "x"}), "InvalidArgument"),
                    (dict(everybody, Grantee={"Type": "AmazonCustomerByEmail", "EmailAddress": "a@example.org"}), "UnresolvableGrantByEmailAddress")):
    refused(code, s3().put_bucket_logging, Bucket=bucket, BucketLoggingStatus=status(TargetBucket=listed, TargetGrants=[grant]))
own = s3().list_buckets()["Owner"]["ID"]
s3().put_bucket_logging(Bucket=bucket, BucketLoggingStatus=status(TargetBucket=listed, TargetGrants=[everybody]))
for _ in endpoints:
    assert s3().get_bucket_logging(Bucket=bucket)["LoggingEnabled"]["TargetGrants"] == [everybody]
    s3().head_object(Bucket=bucket, Key="a b/2")
deadline = time.time() + 60
found = []
while not any(b"REST.HEAD.OBJECT a%20b/2" in urllib.request.urlopen(endpoints[0] + "/" + listed + "/" + o["Key"]).read() for o in found):
    assert time.time() < deadline
    time.sleep(0.3)
    found = s3().list_objects_v2(Bucket=listed).get("Contents", [])
for o in found:
    acl = s3().get_object_acl(Bucket=listed, Key=o["Key"])
    assert acl["Owner"]["ID"] == own and [g["Permission"] for g in acl["Grants"]] == ["FULL_CONTROL", "READ"], acl
s3().put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
assert "LoggingEnabled" not in s3().get_bucket_logging(Bucket=bucket)
