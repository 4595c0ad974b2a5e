"""Access control lists and ownership, as boto3 sees them. Arguments: bucket, endpoints separated by commas."""
import itertools
import json
import sys

import boto3
import botocore.exceptions
from botocore import UNSIGNED
from botocore.config import Config

bucket, endpoints = sys.argv[1], sys.argv[2].split(",")
everybody, keyed = "http://acs.amazonaws.com/groups/global/AllUsers", "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"


def clients(**keys):
    """One client for each gateway, in turn."""
    config = Config(signature_version=keys.pop("sign", "s3v4"), retries={"max_attempts": 0})
    return itertools.cycle([boto3.client("s3", endpoint_url=e, config=config, **keys) for e in endpoints])


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code, (code, e.response)
        return e.response
    raise AssertionError("want " + code)


root, anonymous = clients(), clients(sign=UNSIGNED)
iams = itertools.cycle([boto3.client("iam", endpoint_url=e, region_name="us-east-1") for e in endpoints])


def user(name):
    """A user who may do what it likes in its own buckets, and nothing else."""
    next(iams).create_user(UserName=name)
    next(iams).attach_user_policy(UserName=name, PolicyArn="arn:aws:iam::aws:policy/ownbuckets")
    key = next(iams).create_access_key(UserName=name)["AccessKey"]
    return clients(aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])


ann, bob = user(bucket + "-ann"), user(bucket + "-bob")


def me(who):
    return next(who).list_buckets()["Owner"]


def grants(answer):
    found = set()
    for g in answer["Grants"]:
        found.add((g["Grantee"].get("URI") or g["Grantee"]["ID"], g["Permission"]))
    return found


annid, bobid = me(ann)["ID"], me(bob)["ID"]
assert len(annid) == 64 and me(ann)["DisplayName"] == bucket + "-ann", me(ann)
full = {(annid, "FULL_CONTROL")}

# without lists, which is how buckets are made
refused("InvalidBucketAclWithObjectOwnership", next(ann).create_bucket, Bucket=bucket, ACL="public-read")
next(ann).create_bucket(Bucket=bucket)
refused("BucketAlreadyOwnedByYou", next(ann).create_bucket, Bucket=bucket)
refused("BucketAlreadyExists", next(bob).create_bucket, Bucket=bucket)
next(ann).put_object(Bucket=bucket, Key="k", Body=b"1")
refused("AccessControlListNotSupported", next(ann).put_object, Bucket=bucket, Key="k", ACL="public-read", Body=b"1")
refused("AccessControlListNotSupported", next(ann).put_object_acl, Bucket=bucket, Key="k", ACL="public-read")
refused("AccessControlListNotSupported", next(ann).put_bucket_acl, Bucket=bucket, ACL="public-read")
next(ann).put_object_acl(Bucket=bucket, Key="k", ACL="bucket-owner-full-control")
was = next(root).get_object_acl(Bucket=bucket, Key="k")
assert was["Owner"]["ID"] == annid and grants(was) == full
next(ann).put_object_acl(Bucket=bucket, Key="k", AccessControlPolicy={"Owner": was["Owner"], "Grants": was["Grants"]})
assert next(ann).list_objects(Bucket=bucket)["Contents"][0]["Owner"]["ID"] == annid
next(ann).delete_object(Bucket=bucket, Key="k")

# with lists: canned, of the bucket and of objects, for those with a key and without
next(ann).put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
for _ in endpoints:
    assert next(ann).get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "ObjectWriter"}]
refused("AccessDenied", next(bob).list_objects, Bucket=bucket)
for canned, more in (("private", set()), ("public-read", {(everybody, "READ")}), ("public-read-write", {(everybody, "READ"), (everybody, "WRITE")}),
                     ("authenticated-read", {(keyed, "READ")})):
    next(ann).put_bucket_acl(Bucket=bucket, ACL=canned)
    next(ann).put_object(Bucket=bucket, Key=canned, Body=canned.encode(), ACL=canned)
    for _ in endpoints:
        assert grants(next(ann).get_bucket_acl(Bucket=bucket)) == full | more
        assert grants(next(ann).get_object_acl(Bucket=bucket, Key=canned)) == full | more
    for who, group in ((bob, "private" != canned), (anonymous, canned.startswith("public"))):
        if group:
            assert next(who).get_object(Bucket=bucket, Key=canned)["Body"].read() == canned.encode()
            next(who).head_object(Bucket=bucket, Key=canned)
            next(who).list_objects_v2(Bucket=bucket)
            refused("NoSuchKey", next(who).get_object, Bucket=bucket, Key="nothing")
        else:
            refused("AccessDenied", next(who).get_object, Bucket=bucket, Key=canned)
            refused("AccessDenied", next(who).get_object, Bucket=bucket, Key=canned, IfMatch='"no"')
            refused("403", next(who).head_object, Bucket=bucket, Key=canned)
            refused("AccessDenied", next(who).list_objects_v2, Bucket=bucket)
            refused("AccessDenied", next(who).get_object, Bucket=bucket, Key="nothing")
        if canned == "public-read-write":
            next(who).put_object(Bucket=bucket, Key="by", Body=b"x")
            next(who).delete_object(Bucket=bucket, Key="by")
        else:
            refused("AccessDenied", next(who).put_object, Bucket=bucket, Key="by", Body=b"x")
        refused("AccessDenied", next(who).get_object_acl, Bucket=bucket, Key=canned)
        refused("AccessDenied", next(who).put_object_acl, Bucket=bucket, Key=canned, ACL="public-read")
        refused("AccessDenied", next(who).put_bucket_acl, Bucket=bucket, ACL="public-read-write")

# who writes owns, in what way ever
next(ann).put_bucket_acl(Bucket=bucket, ACL="public-read-write")
next(bob).put_object(Bucket=bucket, Key="bob", Body=b"bob")
upload = next(bob).create_multipart_upload(Bucket=bucket, Key="parts", ACL="bucket-owner-read")["UploadId"]
part = next(bob).upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
next(bob).complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
next(bob).copy_object(Bucket=bucket, Key="copy", CopySource=bucket + "/bob", ACL="authenticated-read")
refused("AccessDenied", next(bob).copy_object, Bucket=bucket, Key="copy2", CopySource=bucket + "/private")
next(anonymous).put_object(Bucket=bucket, Key="nobody", Body=b"x")
owners = {o["Key"]: o["Owner"]["ID"] for o in next(ann).list_objects(Bucket=bucket)["Contents"]}
assert all(owners[k] == bobid for k in ("bob", "parts", "copy")) and owners["private"] == annid and owners["nobody"] not in (annid, bobid, ""), owners
assert {o["Key"]: o["Owner"]["ID"] for o in next(ann).list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"]} == owners
assert grants(next(bob).get_object_acl(Bucket=bucket, Key="parts")) == {(bobid, "FULL_CONTROL"), (annid, "READ")}
assert grants(next(bob).get_object_acl(Bucket=bucket, Key="copy")) == {(bobid, "FULL_CONTROL"), (keyed, "READ")}

# grants, in headers and in XML
next(ann).put_object(Bucket=bucket, Key="granted", Body=b"g", GrantRead='id="%s"' % bobid, GrantWriteACP='uri="%s"' % keyed)
assert grants(next(ann).get_object_acl(Bucket=bucket, Key="granted")) == {(bobid, "READ"), (keyed, "WRITE_ACP")}
for _ in endpoints:
    assert next(bob).get_object(Bucket=bucket, Key="granted")["Body"].read() == b"g"
    refused("AccessDenied", next(bob).get_object_acl, Bucket=bucket, Key="granted")
xml = lambda *of: {"Owner": {"ID": annid}, "Grants": [{"Grantee": {"Type": "CanonicalUser", "ID": i}, "Permission": p} for i, p in of]}
next(bob).put_object_acl(Bucket=bucket, Key="granted", AccessControlPolicy=xml((bobid, "READ_ACP"), (annid, "FULL_CONTROL")))
assert grants(next(bob).get_object_acl(Bucket=bucket, Key="granted")) == {(bobid, "READ_ACP"), (annid, "FULL_CONTROL")}
refused("AccessDenied", next(bob).get_object, Bucket=bucket, Key="granted")
next(ann).put_object_acl(Bucket=bucket, Key="granted", AccessControlPolicy=xml())
assert next(ann).get_object_acl(Bucket=bucket, Key="granted")["Grants"] == []
refused("AccessDenied", next(ann).put_object_acl, Bucket=bucket, Key="granted", AccessControlPolicy={"Owner": {"ID": bobid}, "Grants": []})
refused("InvalidArgument", next(ann).put_object_acl, Bucket=bucket, Key="granted", AccessControlPolicy=xml(("0" * 64, "READ")))
refused("InvalidArgument", next(ann).put_object_acl, Bucket=bucket, Key="granted", GrantRead="uri=http://nowhere")
refused("UnresolvableGrantByEmailAddress", next(ann).put_object_acl, Bucket=bucket, Key="granted", GrantRead="emailAddress=a@b.c")
refused("InvalidRequest", next(ann).put_object_acl, Bucket=bucket, Key="granted", ACL="private", GrantRead="id=" + bobid)
refused("NoSuchKey", next(ann).put_object_acl, Bucket=bucket, Key="nothing", ACL="private")
next(ann).put_bucket_acl(Bucket=bucket, GrantFullControl="id=" + bobid, GrantRead="id=" + annid)
next(bob).put_bucket_acl(Bucket=bucket, ACL="private")
refused("AccessDenied", next(bob).get_bucket_acl, Bucket=bucket)
url = next(ann).generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "url", "ACL": "public-read"})
import urllib.request
urllib.request.urlopen(urllib.request.Request(url, method="PUT", data=b"u", headers={"x-amz-acl": "public-read"}))
assert urllib.request.urlopen(endpoints[0] + "/" + bucket + "/url").read() == b"u"

# versions have lists of their own
next(ann).put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
old = next(ann).put_object(Bucket=bucket, Key="v", Body=b"old", ACL="public-read")["VersionId"]
new = next(ann).put_object(Bucket=bucket, Key="v", Body=b"new")["VersionId"]
refused("AccessDenied", next(anonymous).get_object, Bucket=bucket, Key="v")
assert next(anonymous).get_object(Bucket=bucket, Key="v", VersionId=old)["Body"].read() == b"old"
next(ann).put_object_acl(Bucket=bucket, Key="v", VersionId=old, ACL="private")
next(ann).put_object_acl(Bucket=bucket, Key="v", VersionId=new, ACL="public-read")
refused("AccessDenied", next(anonymous).get_object, Bucket=bucket, Key="v", VersionId=old)
assert next(anonymous).get_object(Bucket=bucket, Key="v")["Body"].read() == b"new"
assert grants(next(ann).get_object_acl(Bucket=bucket, Key="v", VersionId=old)) == full

# the public access block
assert not next(ann).get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"]
next(ann).put_bucket_acl(Bucket=bucket, ACL="public-read")
assert next(ann).get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"]
next(ann).put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
for _ in endpoints:
    refused("AccessDenied", next(ann).put_bucket_acl, Bucket=bucket, ACL="public-read")
    refused("AccessDenied", next(ann).put_object, Bucket=bucket, Key="v", ACL="authenticated-read", Body=b"x")
    refused("AccessDenied", next(ann).put_object_acl, Bucket=bucket, Key="v", ACL="public-read")
    next(anonymous).get_object(Bucket=bucket, Key="v")
next(ann).put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"IgnorePublicAcls": True})
for _ in endpoints:
    refused("AccessDenied", next(anonymous).get_object, Bucket=bucket, Key="v")
    refused("AccessDenied", next(anonymous).list_objects, Bucket=bucket)
next(ann).delete_public_access_block(Bucket=bucket)

# ownership: the owner of the bucket gets what is written for it, and all when lists are switched off
refused("InvalidBucketAclWithObjectOwnership", next(ann).put_bucket_ownership_controls, Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
next(ann).put_bucket_acl(Bucket=bucket, ACL="public-read-write")
next(ann).put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]})
next(bob).put_object(Bucket=bucket, Key="given", Body=b"x", ACL="bucket-owner-full-control")
next(bob).put_object(Bucket=bucket, Key="kept", Body=b"x")
assert [next(ann).get_object_acl(Bucket=bucket, Key=k)["Owner"]["ID"] for k in ("given", "kept")] == [annid, bobid]
next(ann).put_bucket_acl(Bucket=bucket, ACL="private")
next(ann).delete_bucket_ownership_controls(Bucket=bucket)
refused("OwnershipControlsNotFoundError", next(ann).get_bucket_ownership_controls, Bucket=bucket)
next(ann).put_object(Bucket=bucket, Key="still", Body=b"x", ACL="public-read")
assert next(anonymous).get_object(Bucket=bucket, Key="still")["Body"].read() == b"x"
next(ann).put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
for _ in endpoints:
    refused("AccessDenied", next(anonymous).get_object, Bucket=bucket, Key="still")
    assert next(ann).get_object_acl(Bucket=bucket, Key="kept")["Owner"]["ID"] == annid
    refused("AccessDenied", next(bob).get_object, Bucket=bucket, Key="kept")

# a bucket that is made with lists
other = bucket + "-lists"
refused("InvalidArgument", next(ann).create_bucket, Bucket=other, ObjectOwnership="Mine")
next(ann).create_bucket(Bucket=other, ObjectOwnership="ObjectWriter", ACL="public-read")
assert grants(next(ann).get_bucket_acl(Bucket=other)) == full | {(everybody, "READ")}
assert "Contents" not in next(anonymous).list_objects(Bucket=other)

# conditions on the tags that an object has: judged where the object is
arn = "arn:aws:s3:::" + other
statement = lambda effect, tag, *actions: {"Sid": effect, "Effect": effect, "Principal": "*", "Action": list(actions), "Resource": arn + "/*", "Condition": {"StringEquals": {"s3:ExistingObjectTag/class": tag}}}
next(ann).put_bucket_policy(Bucket=other, Policy=json.dumps({"Version": "2012-10-17", "Statement": [
    statement("Allow", "open", "s3:GetObject", "s3:GetObjectTagging"), statement("Deny", "closed", "s3:GetObject", "s3:PutObjectTagging")]}))
for key, tag in (("open", "class=open"), ("closed", "class=closed"), ("other", "x=y"), ("plain", "")):
    next(ann).put_object(Bucket=other, Key=key, Body=key.encode(), **({"Tagging": tag} if tag else {}))
for _ in endpoints:
    assert next(bob).get_object(Bucket=other, Key="open")["Body"].read() == b"open"
    assert next(bob).get_object_tagging(Bucket=other, Key="open")["TagSet"] == [{"Key": "class", "Value": "open"}]
    for key in ("closed", "other", "plain"):
        refused("AccessDenied", next(bob).get_object, Bucket=other, Key=key)
    assert next(ann).get_object(Bucket=other, Key="plain")["Body"].read() == b"plain"
    refused("AccessDenied", next(ann).get_object, Bucket=other, Key="closed")
    refused("AccessDenied", next(ann).copy_object, Bucket=other, Key="copied", CopySource=other + "/closed")
    refused("AccessDenied", next(root).get_object, Bucket=other, Key="closed")
    refused("AccessDenied", next(ann).put_object_tagging, Bucket=other, Key="closed", Tagging={"TagSet": []})
next(ann).put_object_tagging(Bucket=other, Key="open", Tagging={"TagSet": []})
refused("AccessDenied", next(bob).get_object, Bucket=other, Key="open")
next(ann).delete_bucket_policy(Bucket=other)
print("ok")
