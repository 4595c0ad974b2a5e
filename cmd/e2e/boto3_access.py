"""Who may do what: users with policies, as boto3 sees it. Arguments: bucket, endpoints separated by commas."""
import itertools
import json
import sys
import urllib.request

import boto3
import botocore.exceptions
from botocore import UNSIGNED
from botocore.config import Config

bucket, endpoints = sys.argv[1], sys.argv[2].split(",")


def clients(key=None, secret=None, **more):
    """One client for each gateway, in turn."""
    config = Config(signature_version="s3v4", retries={"max_attempts": 0})
    return itertools.cycle([boto3.client("s3", endpoint_url=e, aws_access_key_id=key, aws_secret_access_key=secret, config=config, **more) for e in endpoints])


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code, (code, e.response)
        return e.response
    raise AssertionError("want " + code)


root, reader, writer, owner, limited, nobody = clients(), *(clients(u + "-key", u + "-secret") for u in ("reader", "writer", "owner", "limited", "nobody"))

next(root).create_bucket(Bucket=bucket)
next(root).put_object(Bucket=bucket, Key="home/limited/a", Body=b"1")
next(root).put_object(Bucket=bucket, Key="home/other/a", Body=b"2")

# deny by default, also for what does not exist
for call, more in (("list_buckets", {}), ("create_bucket", {"Bucket": bucket + "-x"}), ("get_object", {"Bucket": bucket, "Key": "home/other/a"}),
                   ("put_object", {"Bucket": bucket, "Key": "n"}), ("list_objects_v2", {"Bucket": bucket}), ("delete_bucket", {"Bucket": bucket}),
                   ("get_object", {"Bucket": bucket, "Key": "nothing"}), ("get_bucket_location", {"Bucket": bucket})):
    said = refused("AccessDenied", getattr(next(nobody), call), **more)
    assert said["ResponseMetadata"]["HTTPStatusCode"] == 403 and "user/nobody" in said["Error"]["Message"], said
refused("403", next(nobody).head_bucket, Bucket=bucket)
refused("NoSuchBucket", next(nobody).get_object, Bucket=bucket + "-none", Key="k")
refused("InvalidAccessKeyId", next(clients("unknown", "secret-secret")).list_buckets)
refused("SignatureDoesNotMatch", next(clients("reader-key", "wrong-secret")).list_buckets)

# canned policies, by the user's own and by a group
for _ in endpoints:
    assert next(reader).get_object(Bucket=bucket, Key="home/other/a")["Body"].read() == b"2"
    assert len(next(reader).list_objects_v2(Bucket=bucket, Prefix="home")["Contents"]) == 2
    refused("AccessDenied", next(reader).put_object, Bucket=bucket, Key="r", Body=b"x")
    next(writer).put_object(Bucket=bucket, Key="w", Body=b"x")
    refused("AccessDenied", next(writer).get_object, Bucket=bucket, Key="w")
refused("NoSuchKey", next(reader).get_object, Bucket=bucket, Key="nothing")
assert bucket in [b["Name"] for b in next(reader).list_buckets()["Buckets"]]

# a policy with variables, a condition on lists, and a denial; each key of a deletion is judged for itself
assert next(limited).get_object(Bucket=bucket, Key="home/limited/a")["Body"].read() == b"1"
refused("AccessDenied", next(limited).get_object, Bucket=bucket, Key="home/other/a")
assert [o["Key"] for o in next(limited).list_objects_v2(Bucket=bucket, Prefix="home/limited/")["Contents"]] == ["home/limited/a"]
refused("AccessDenied", next(limited).list_objects_v2, Bucket=bucket, Prefix="home/")
refused("AccessDenied", next(limited).list_objects_v2, Bucket=bucket)
refused("AccessDenied", next(limited).put_object, Bucket=bucket, Key="home/limited/locked/x", Body=b"")
next(limited).copy_object(Bucket=bucket, Key="home/limited/b", CopySource={"Bucket": bucket, "Key": "home/limited/a"})
refused("AccessDenied", next(limited).copy_object, Bucket=bucket, Key="home/limited/b", CopySource={"Bucket": bucket, "Key": "home/other/a"})
refused("AccessDenied", next(limited).copy_object, Bucket=bucket, Key="home/other/b", CopySource={"Bucket": bucket, "Key": "home/limited/a"})
gone = next(limited).delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "home/limited/b"}, {"Key": "home/other/a"}]})
assert [d["Key"] for d in gone["Deleted"]] == ["home/limited/b"] and [(e["Key"], e["Code"]) for e in gone["Errors"]] == [("home/other/a", "AccessDenied")], gone
upload = next(limited).create_multipart_upload(Bucket=bucket, Key="home/limited/m")["UploadId"]
refused("AccessDenied", next(limited).upload_part_copy, Bucket=bucket, Key="home/limited/m", UploadId=upload, PartNumber=1, CopySource={"Bucket": bucket, "Key": "home/other/a"})
next(limited).upload_part(Bucket=bucket, Key="home/limited/m", UploadId=upload, PartNumber=1, Body=b"p")
next(limited).abort_multipart_upload(Bucket=bucket, Key="home/limited/m", UploadId=upload)

# buckets of one's own
own = bucket + "-own"
assert next(owner).list_buckets()["Buckets"] == []
next(owner).create_bucket(Bucket=own)
next(owner).put_object(Bucket=own, Key="k", Body=b"mine")
assert [b["Name"] for b in next(owner).list_buckets()["Buckets"]] == [own]
refused("AccessDenied", next(owner).get_object, Bucket=bucket, Key="home/other/a")
next(owner).delete_object(Bucket=own, Key="k")
next(owner).delete_bucket(Bucket=own)

# the policy of a bucket: more than users' own policies allow, less than they allow, and for everybody
def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


arn = "arn:aws:s3:::" + bucket
public = {"Sid": "Public", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": arn + "/home/other/*"}
anonymous = itertools.cycle([boto3.client("s3", endpoint_url=e, config=Config(signature_version=UNSIGNED, retries={"max_attempts": 0})) for e in endpoints])
refused("AccessDenied", next(anonymous).get_object, Bucket=bucket, Key="home/other/a")
refused("AccessDenied", next(anonymous).list_buckets)
refused("NoSuchBucket", next(anonymous).get_object, Bucket=bucket + "-none", Key="a")
refused("NoSuchBucketPolicy", next(root).get_bucket_policy, Bucket=bucket)
assert not next(root).get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"]
next(root).put_bucket_policy(Bucket=bucket, Policy=policy(
    public, {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:user/nobody"}, "Action": ["s3:ListBucket", "s3:PutObject"], "Resource": [arn, arn + "/nobody/*"]},
    {"Sid": "Closed", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": arn + "/closed/*"}))
assert json.loads(next(root).get_bucket_policy(Bucket=bucket)["Policy"])["Statement"][0] == public
assert next(root).get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"]
for _ in endpoints:
    assert next(anonymous).get_object(Bucket=bucket, Key="home/other/a")["Body"].read() == b"2"
    assert urllib.request.urlopen(endpoints[0] + "/" + bucket + "/home/other/a").read() == b"2"
    assert next(nobody).get_object(Bucket=bucket, Key="home/other/a")["Body"].read() == b"2"
    next(nobody).put_object(Bucket=bucket, Key="nobody/x", Body=b"n")
    assert len(next(nobody).list_objects_v2(Bucket=bucket)["Contents"]) >= 2
    refused("AccessDenied", next(anonymous).put_object, Bucket=bucket, Key="home/other/a", Body=b"x")
    refused("AccessDenied", next(anonymous).list_objects_v2, Bucket=bucket)
    refused("InvalidRequest", next(anonymous).get_object, Bucket=bucket, Key="home/other/a", ResponseContentType="text/html")
    refused("AccessDenied", next(anonymous).get_object, Bucket=bucket, Key="home/other/nothing")
    refused("AccessDenied", next(root).put_object, Bucket=bucket, Key="closed/x", Body=b"x")
for wrong, message in (("{", "invalid Json"), (policy(dict(public, Action="s3:Nothing")), "invalid action"), (policy(dict(public, Resource=arn + "-not/*")), "invalid resource"),
                       (policy(dict(public, Principal={"AWS": "arn:aws:iam::000000000000:user/none"})), "Invalid principal"), (policy(dict(public, Resource=arn)), "does not apply")):
    said = refused("MalformedPolicy", next(root).put_bucket_policy, Bucket=bucket, Policy=wrong)
    assert message in said["Error"]["Message"], said
refused("AccessDenied", next(reader).put_bucket_policy, Bucket=bucket, Policy=policy(public))

# the public access block, ownership, and lists that there are not
refused("NoSuchPublicAccessBlockConfiguration", next(root).get_public_access_block, Bucket=bucket)
block = {"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
next(root).put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)
assert next(root).get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == block
for _ in endpoints:
    refused("AccessDenied", next(anonymous).get_object, Bucket=bucket, Key="home/other/a")
    assert next(nobody).get_object(Bucket=bucket, Key="home/other/a")["Body"].read() == b"2"
refused("AccessDenied", next(root).put_bucket_policy, Bucket=bucket, Policy=policy(public))
next(root).delete_public_access_block(Bucket=bucket)
assert next(anonymous).get_object(Bucket=bucket, Key="home/other/a")["Body"].read() == b"2"
next(root).delete_bucket_policy(Bucket=bucket)
refused("AccessDenied", next(anonymous).get_object, Bucket=bucket, Key="home/other/a")
refused("NoSuchBucketPolicy", next(root).get_bucket_policy, Bucket=bucket)
assert next(root).get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
next(root).put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
assert [g["Permission"] for g in next(root).get_bucket_acl(Bucket=bucket)["Grants"]] == ["FULL_CONTROL"]
assert [g["Permission"] for g in next(root).get_object_acl(Bucket=bucket, Key="home/other/a")["Grants"]] == ["FULL_CONTROL"]
refused("AccessControlListNotSupported", next(root).put_bucket_acl, Bucket=bucket, ACL="public-read")
refused("AccessControlListNotSupported", next(root).put_object_acl, Bucket=bucket, Key="home/other/a", ACL="public-read")
refused("AccessControlListNotSupported", next(root).put_object, Bucket=bucket, Key="home/other/a", ACL="public-read")

# what tags a request gives to an object, by its body too
next(root).put_bucket_policy(Bucket=bucket, Policy=policy({
    "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:user/nobody"}, "Action": ["s3:PutObjectTagging", "s3:PutObject"], "Resource": arn + "/home/other/*",
    "Condition": {"StringEquals": {"s3:RequestObjectTag/security": "public"}, "ForAllValues:StringLike": {"s3:RequestObjectTagKeys": ["security", "x*"]}}}))
for tags, allowed in (({"security": "public"}, True), ({"security": "private"}, False), ({}, False), ({"security": "public", "x1": "y"}, True), ({"security": "public", "y": ""}, False)):
    body = {"TagSet": [{"Key": k, "Value": v} for k, v in tags.items()]}
    for _ in endpoints:
        if allowed:
            next(nobody).put_object_tagging(Bucket=bucket, Key="home/other/a", Tagging=body)
        else:
            refused("AccessDenied", next(nobody).put_object_tagging, Bucket=bucket, Key="home/other/a", Tagging=body)
        assert {t["Key"]: t["Value"] for t in next(root).get_object_tagging(Bucket=bucket, Key="home/other/a")["TagSet"]}.get("security", "public") == "public"
refused("InvalidTag", next(nobody).put_object_tagging, Bucket=bucket, Key="home/other/a", Tagging={"TagSet": [{"Key": "security", "Value": "public"}] * 2})
next(root).delete_bucket_policy(Bucket=bucket)

# the query API of IAM and STS
iams = itertools.cycle([boto3.client("iam", endpoint_url=e, region_name="us-east-1") for e in endpoints])
sts = boto3.client("sts", endpoint_url=endpoints[0], region_name="us-east-1")
assert sts.get_caller_identity()["Arn"] == "arn:aws:iam::000000000000:root"
name = bucket + "-eve"
assert next(iams).create_user(UserName=name, Path="/team/")["User"]["Arn"] == "arn:aws:iam::000000000000:user/team/" + name
refused("EntityAlreadyExists", next(iams).create_user, UserName=name)
key = next(iams).create_access_key(UserName=name)["AccessKey"]
eve = clients(key["AccessKeyId"], key["SecretAccessKey"])
refused("AccessDenied", next(eve).list_objects_v2, Bucket=bucket)
next(iams).attach_user_policy(UserName=name, PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
for _ in endpoints:
    next(eve).list_objects_v2(Bucket=bucket)
assert [p["PolicyName"] for p in next(iams).list_attached_user_policies(UserName=name)["AttachedPolicies"]] == ["AmazonS3ReadOnlyAccess"]
deny = {"Version": "2012-10-17", "Statement": [{"Sid": "No", "Effect": "Deny", "Action": "s3:ListBucket", "Resource": "*"}]}
next(iams).put_user_policy(UserName=name, PolicyName="deny", PolicyDocument=json.dumps(deny))
assert next(iams).get_user_policy(UserName=name, PolicyName="deny")["PolicyDocument"] == deny
refused("AccessDenied", next(eve).list_objects_v2, Bucket=bucket)
refused("MalformedPolicyDocument", next(iams).put_user_policy, UserName=name, PolicyName="bad", PolicyDocument="{}")
next(iams).delete_user_policy(UserName=name, PolicyName="deny")
made = next(iams).create_policy(PolicyName=name, PolicyDocument=json.dumps(deny))["Policy"]
next(iams).create_group(GroupName=name)
next(iams).attach_group_policy(GroupName=name, PolicyArn=made["Arn"])
next(iams).add_user_to_group(GroupName=name, UserName=name)
assert [u["UserName"] for u in next(iams).get_group(GroupName=name)["Users"]] == [name]
assert [g["GroupName"] for g in next(iams).list_groups_for_user(UserName=name)["Groups"]] == [name]
refused("AccessDenied", next(eve).list_objects_v2, Bucket=bucket)
own_iam = boto3.client("iam", endpoint_url=endpoints[0], region_name="us-east-1", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
refused("AccessDenied", own_iam.list_users)
refused("DeleteConflict", next(iams).delete_user, UserName=name)
refused("DeleteConflict", next(iams).delete_policy, PolicyArn=made["Arn"])
next(iams).remove_user_from_group(GroupName=name, UserName=name)
next(iams).detach_group_policy(GroupName=name, PolicyArn=made["Arn"])
next(iams).delete_group(GroupName=name)
next(iams).delete_policy(PolicyArn=made["Arn"])
next(iams).update_access_key(UserName=name, AccessKeyId=key["AccessKeyId"], Status="Inactive")
refused("ValidationError", next(iams).update_access_key, UserName=name, AccessKeyId=key["AccessKeyId"], Status="inactive")
refused("AccessDenied", sts.get_session_token, SerialNumber="arn:aws:iam::000000000000:mfa/x", TokenCode="123456")
refused("InvalidAccessKeyId", next(eve).list_objects_v2, Bucket=bucket)
assert [k["Status"] for k in next(iams).list_access_keys(UserName=name)["AccessKeyMetadata"]] == ["Inactive"]
next(iams).delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
next(iams).detach_user_policy(UserName=name, PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
next(iams).delete_user(UserName=name)
refused("NoSuchEntity", next(iams).get_user, UserName=name)
assert name not in [u["UserName"] for u in next(iams).list_users()["Users"]]

# a policy is about the user that it was given for: renamed it is still that one, and another one who gets the name is not
next(iams).create_user(UserName=name)
key = next(iams).create_access_key(UserName=name)["AccessKey"]
eve = clients(key["AccessKeyId"], key["SecretAccessKey"])
user = "arn:aws:iam::000000000000:user/" + name
grant = {"Effect": "Allow", "Principal": {"AWS": user}, "Action": "s3:GetObject", "Resource": arn + "/home/other/*"}
next(root).put_bucket_policy(Bucket=bucket, Policy=policy(grant))
for _ in endpoints:
    next(eve).get_object(Bucket=bucket, Key="home/other/a")
    assert next(root).get_bucket_policy(Bucket=bucket)["Policy"] == policy(grant)
next(iams).update_user(UserName=name, NewUserName=name + "2")
for _ in endpoints:
    next(eve).get_object(Bucket=bucket, Key="home/other/a")
    assert json.loads(next(root).get_bucket_policy(Bucket=bucket)["Policy"])["Statement"][0]["Principal"]["AWS"] == user + "2"
identity = next(iams).get_user(UserName=name + "2")["User"]["UserId"]
next(iams).delete_access_key(UserName=name + "2", AccessKeyId=key["AccessKeyId"])
next(iams).delete_user(UserName=name + "2")
next(iams).create_user(UserName=name + "2")
key = next(iams).create_access_key(UserName=name + "2")["AccessKey"]
eve = clients(key["AccessKeyId"], key["SecretAccessKey"])
for _ in endpoints:
    refused("AccessDenied", next(eve).get_object, Bucket=bucket, Key="home/other/a")
    kept = next(root).get_bucket_policy(Bucket=bucket)["Policy"]
    assert json.loads(kept)["Statement"][0]["Principal"]["AWS"] == identity, kept
refused("MalformedPolicy", next(root).put_bucket_policy, Bucket=bucket, Policy=kept)
next(root).delete_bucket_policy(Bucket=bucket)
next(iams).delete_access_key(UserName=name + "2", AccessKeyId=key["AccessKeyId"])
next(iams).delete_user(UserName=name + "2")

# what else conditions ask for
next(iams).create_user(UserName=name)
key = next(iams).create_access_key(UserName=name)["AccessKey"]
eve = clients(key["AccessKeyId"], key["SecretAccessKey"])
next(iams).put_user_policy(UserName=name, PolicyName="all", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceAccount": "000000000000"}, "Bool": {"aws:ViaAWSService": "false"}}},
    {"Effect": "Deny", "Action": "s3:CreateBucket", "Resource": "*", "Condition": {"StringNotEquals": {"s3:LocationConstraint": "eu-central-1"}}},
    {"Effect": "Deny", "Action": "s3:PutObject", "Resource": arn + "/once/*", "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}}]}))
placed = {"LocationConstraint": "eu-central-1"}
for _ in endpoints:
    refused("AccessDenied", next(eve).create_bucket, Bucket=bucket + "-placed")
    refused("AccessDenied", next(eve).create_bucket, Bucket=bucket + "-placed", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    next(eve).create_bucket(Bucket=bucket + "-placed", CreateBucketConfiguration=placed)
    next(eve).delete_bucket(Bucket=bucket + "-placed")
    refused("AccessDenied", next(eve).put_object, Bucket=bucket, Key="once/k", Body=b"x")
    upload = next(eve).create_multipart_upload(Bucket=bucket, Key="once/k")["UploadId"]
    part = next(eve).upload_part(Bucket=bucket, Key="once/k", UploadId=upload, PartNumber=1, Body=b"x")
    refused("AccessDenied", next(eve).complete_multipart_upload, Bucket=bucket, Key="once/k", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    next(eve).abort_multipart_upload(Bucket=bucket, Key="once/k", UploadId=upload)
next(iams).delete_user_policy(UserName=name, PolicyName="all")
next(iams).delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
next(iams).delete_user(UserName=name)

# versions of a policy
document = lambda action: json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]})
next(iams).create_user(UserName=name, Path="/team/", Tags=[{"Key": "Team", "Value": "red"}])
key = next(iams).create_access_key(UserName=name)["AccessKey"]
eve = clients(key["AccessKeyId"], key["SecretAccessKey"])
made = next(iams).create_policy(PolicyName=name, PolicyDocument=document("s3:ListBucket"), Description="for eve", Tags=[{"Key": "a", "Value": "b"}])["Policy"]
assert made["DefaultVersionId"] == "v1" and made["Tags"] == [{"Key": "a", "Value": "b"}], made
one = dict(PolicyArn=made["Arn"])
next(iams).attach_user_policy(UserName=name, **one)
for _ in endpoints:
    next(eve).list_objects_v2(Bucket=bucket)
added = next(iams).create_policy_version(PolicyDocument=document("s3:GetObject"), **one)["PolicyVersion"]
assert added["VersionId"] == "v2" and not added["IsDefaultVersion"], added
refused("AccessDenied", next(eve).get_object, Bucket=bucket, Key="home/other/a")
next(iams).set_default_policy_version(VersionId="v2", **one)
for _ in endpoints:
    next(eve).get_object(Bucket=bucket, Key="home/other/a")
    refused("AccessDenied", next(eve).list_objects_v2, Bucket=bucket)
    assert [(v["VersionId"], v["IsDefaultVersion"]) for v in next(iams).list_policy_versions(**one)["Versions"]] == [("v2", True), ("v1", False)]
    assert next(iams).get_policy_version(VersionId="v1", **one)["PolicyVersion"]["Document"]["Statement"][0]["Action"] == "s3:ListBucket"
refused("NoSuchEntity", next(iams).get_policy_version, VersionId="v3", **one)
refused("DeleteConflict", next(iams).delete_policy_version, VersionId="v2", **one)
for i in range(3):
    next(iams).create_policy_version(PolicyDocument=document("s3:*"), SetAsDefault=i == 2, **one)
refused("LimitExceeded", next(iams).create_policy_version, PolicyDocument=document("s3:*"), **one)
refused("MalformedPolicyDocument", next(iams).create_policy_version, PolicyDocument="{}", **one)
got = next(iams).get_policy(**one)["Policy"]
assert got["DefaultVersionId"] == "v5" and got["Description"] == "for eve" and got["AttachmentCount"] == 1, got
next(iams).create_group(GroupName=name)
next(iams).attach_group_policy(GroupName=name, **one)
entities = next(iams).list_entities_for_policy(**one)
assert [u["UserName"] for u in entities["PolicyUsers"]] == [g["GroupName"] for g in entities["PolicyGroups"]] == [name] and entities["PolicyRoles"] == [], entities
assert next(iams).list_entities_for_policy(EntityFilter="Group", **one)["PolicyUsers"] == []

# groups get other names, and keep whom and what they have
next(iams).add_user_to_group(GroupName=name, UserName=name)
next(iams).detach_user_policy(UserName=name, **one)
next(iams).update_group(GroupName=name, NewGroupName=name + "-new", NewPath="/g/")
for _ in endpoints:
    next(eve).get_object(Bucket=bucket, Key="home/other/a")
assert [g["Arn"] for g in next(iams).list_groups_for_user(UserName=name)["Groups"]] == ["arn:aws:iam::000000000000:group/g/" + name + "-new"]
next(iams).detach_group_policy(GroupName=name + "-new", **one)

# tags, and policies that ask for those of who asks
assert next(iams).get_user(UserName=name)["User"]["Tags"] == [{"Key": "Team", "Value": "red"}]
next(iams).put_user_policy(UserName=name, PolicyName="tagged", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "s3:PutObject", "Resource": arn + "/team/${aws:PrincipalTag/team}/*"},
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalTag/Team": "red"}}},
    {"Effect": "Allow", "Action": "iam:TagUser", "Resource": "*", "Condition": {"StringEquals": {"aws:RequestTag/colour": "green"}, "ForAllValues:StringEquals": {"aws:TagKeys": ["colour"]}}}]}))
for _ in endpoints:
    next(eve).put_object(Bucket=bucket, Key="team/red/x", Body=b"x")
    next(eve).get_object(Bucket=bucket, Key="team/red/x")
    refused("AccessDenied", next(eve).put_object, Bucket=bucket, Key="team/blue/x", Body=b"x")
own_iam = boto3.client("iam", endpoint_url=endpoints[0], region_name="us-east-1", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
own_iam.tag_user(UserName=name, Tags=[{"Key": "colour", "Value": "green"}])
refused("AccessDenied", own_iam.tag_user, UserName=name, Tags=[{"Key": "colour", "Value": "red"}])
refused("AccessDenied", own_iam.tag_user, UserName=name, Tags=[{"Key": "colour", "Value": "green"}, {"Key": "team", "Value": "blue"}])
next(iams).tag_user(UserName=name, Tags=[{"Key": "TEAM", "Value": "blue"}])
assert next(iams).list_user_tags(UserName=name)["Tags"] == [{"Key": "TEAM", "Value": "blue"}, {"Key": "colour", "Value": "green"}]
for _ in endpoints:
    next(eve).put_object(Bucket=bucket, Key="team/blue/x", Body=b"x")
    refused("AccessDenied", next(eve).get_object, Bucket=bucket, Key="team/red/x")
next(iams).untag_user(UserName=name, TagKeys=["team", "colour"])
refused("AccessDenied", next(eve).put_object, Bucket=bucket, Key="team/blue/x", Body=b"x")
refused("InvalidInput", next(iams).tag_user, UserName=name, Tags=[{"Key": "a", "Value": ""}, {"Key": "A", "Value": ""}])
next(iams).tag_policy(Tags=[{"Key": "c", "Value": "d"}], **one)
next(iams).untag_policy(TagKeys=["a"], **one)
assert next(iams).list_policy_tags(**one)["Tags"] == [{"Key": "c", "Value": "d"}]
next(iams).create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "sts:AssumeRole"}]}),
                       Tags=[{"Key": "r", "Value": "1"}])
next(iams).tag_role(RoleName=name, Tags=[{"Key": "s", "Value": "2"}])
assert next(iams).list_role_tags(RoleName=name)["Tags"] == next(iams).get_role(RoleName=name)["Role"]["Tags"] == [{"Key": "r", "Value": "1"}, {"Key": "s", "Value": "2"}]
next(iams).untag_role(RoleName=name, TagKeys=["r"])
refused("InvalidInput", next(iams).create_user, UserName=name + "-bound", PermissionsBoundary=made["Arn"])

paged = [u["UserName"] for page in next(iams).get_paginator("list_users").paginate(PaginationConfig={"PageSize": 1}) for u in page["Users"]]
assert paged == [u["UserName"] for u in next(iams).list_users()["Users"]] and name in paged and len(next(iams).list_users(MaxItems=1)["Users"]) == 1, paged

summary = next(iams).get_account_summary()["SummaryMap"]
assert summary["Users"] >= 1 and summary["VersionsPerPolicyQuota"] == 5, summary
assert next(iams).list_account_aliases()["AccountAliases"] == []
refused("DeleteConflict", next(iams).delete_policy, **one)
for v in ("v1", "v2", "v3", "v4"):
    next(iams).delete_policy_version(VersionId=v, **one)
next(iams).delete_policy(**one)
next(iams).delete_role(RoleName=name)
next(iams).remove_user_from_group(GroupName=name + "-new", UserName=name)
next(iams).delete_group(GroupName=name + "-new")
next(iams).delete_user_policy(UserName=name, PolicyName="tagged")
next(iams).delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
next(iams).delete_user(UserName=name)
