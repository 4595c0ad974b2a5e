"""What buckets, objects and identities have survives a restart of all nodes. Arguments: bucket, endpoints separated by commas, a file, "make" or "check"."""
import datetime
import json
import sys

import boto3
import botocore.exceptions

bucket, endpoints, path, step = sys.argv[1], sys.argv[2].split(","), sys.argv[3], sys.argv[4]
locked, target = bucket + "-locked", bucket + "-target"
user = bucket + "-ann"
customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
kinds = {"plain": {}, "s3": {"ServerSideEncryption": "AES256"}, "kms": {"ServerSideEncryption": "aws:kms"}, "customer": customer}


def clients(endpoint):
    return boto3.client("s3", endpoint_url=endpoint), boto3.client("iam", endpoint_url=endpoint, region_name="us-east-1")


def make(s3, iam):
    iam.create_user(UserName=user, Tags=[{"Key": "team", "Value": "red"}])
    key = iam.create_access_key(UserName=user)["AccessKey"]
    made = iam.create_policy(PolicyName=user, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}]}))
    iam.attach_user_policy(UserName=user, PolicyArn=made["Policy"]["Arn"])
    arn = "arn:aws:iam::000000000000:user/" + user
    iam.create_role(RoleName=user, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "sts:AssumeRole"}]}))

    s3.create_bucket(Bucket=bucket, ObjectOwnership="ObjectWriter")
    s3.create_bucket(Bucket=locked, ObjectLockEnabledForBucket=True)
    s3.create_bucket(Bucket=target)
    s3.put_bucket_versioning(Bucket=target, VersioningConfiguration={"Status": "Enabled"})
    for name in kinds:
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode() * 1000, Metadata={"a": "b"}, Tagging="x=y", ContentType="text/x", **kinds[name])
    s3.put_object_acl(Bucket=bucket, Key="plain", ACL="public-read")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts", ChecksumAlgorithm="SHA256")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"part", ChecksumAlgorithm="SHA256")
    for body in (b"1", b"2"):
        s3.put_object(Bucket=target, Key="v", Body=body)
    s3.delete_object(Bucket=target, Key="v")
    until = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=1)
    s3.put_object(Bucket=locked, Key="held", Body=b"held", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until, ObjectLockLegalHoldStatus="ON", ChecksumAlgorithm="SHA1")
    s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 2}}})
    s3.put_bucket_replication(Bucket=locked, ReplicationConfiguration={"Role": "arn:aws:iam::000000000000:role/r", "Rules": [
        {"ID": "r", "Status": "Disabled", "Priority": 1, "Filter": {"Prefix": ""}, "DeleteMarkerReplication": {"Status": "Disabled"}, "Destination": {"Bucket": "arn:aws:s3:::" + target}}]})

    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "t", "Value": "1"}]})
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]})
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [{"ID": "l", "Status": "Disabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 30}}]})
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}})
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]})
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": "log/"}})
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [
        {"Id": "n", "QueueArn": "arn:aisle:sqs::hook:webhook", "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "told/"}]}}}]})
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    s3.put_bucket_acl(Bucket=bucket, ACL="authenticated-read")
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::" + bucket + "/*"}]}))
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={
        "BlockPublicAcls": True, "IgnorePublicAcls": False, "BlockPublicPolicy": True, "RestrictPublicBuckets": False})
    return key["AccessKeyId"], key["SecretAccessKey"], upload


def told(endpoint, made):
    """Everything that is told of what was made."""
    s3, iam = clients(endpoint)
    found = {}

    def note(name, call, **args):
        answer = call(**args)
        answer.pop("ResponseMetadata")
        if "Body" in answer:
            answer["Body"] = answer["Body"].read().decode()
        found[name] = answer

    for call in ("acl", "cors", "encryption", "lifecycle_configuration", "location", "logging", "notification_configuration", "ownership_controls", "policy", "policy_status",
                 "request_payment", "tagging", "versioning", "website"):
        note(call, getattr(s3, "get_bucket_" + call), Bucket=bucket)
    note("block", s3.get_public_access_block, Bucket=bucket)
    note("lock", s3.get_object_lock_configuration, Bucket=locked)
    note("replication", s3.get_bucket_replication, Bucket=locked)
    for b in (bucket, locked):
        note("list " + b, s3.list_object_versions, Bucket=b)
    note("list", s3.list_object_versions, Bucket=target, Prefix="v")
    for name in kinds:
        key = customer if name == "customer" else {}
        note("object " + name, s3.get_object, Bucket=bucket, Key=name, ChecksumMode="ENABLED", **key)
        note("tags " + name, s3.get_object_tagging, Bucket=bucket, Key=name)
        note("acl " + name, s3.get_object_acl, Bucket=bucket, Key=name)
    note("parts", s3.list_parts, Bucket=bucket, Key="parts", UploadId=made[2])
    note("held", s3.get_object, Bucket=locked, Key="held", ChecksumMode="ENABLED")
    note("retention", s3.get_object_retention, Bucket=locked, Key="held")
    note("hold", s3.get_object_legal_hold, Bucket=locked, Key="held")
    note("user", iam.get_user, UserName=user)
    note("attached", iam.list_attached_user_policies, UserName=user)
    note("role", iam.get_role, RoleName=user)
    try:
        s3.delete_object(Bucket=locked, Key="held", VersionId=found["held"]["VersionId"], BypassGovernanceRetention=True)
        raise AssertionError("a version that is held was removed")
    except botocore.exceptions.ClientError as refusal:
        assert refusal.response["Error"]["Code"] == "AccessDenied", refusal.response
    ann = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id=made[0], aws_secret_access_key=made[1])
    assert ann.get_object(Bucket=bucket, Key="s3")["Body"].read() == b"s3" * 1000
    try:
        ann.delete_object(Bucket=bucket, Key="s3")
        raise AssertionError("what no policy allows")
    except botocore.exceptions.ClientError as refusal:
        assert refusal.response["Error"]["Code"] == "AccessDenied", refusal.response
    return json.loads(json.dumps(found, default=str))


if step == "make":
    made = make(*clients(endpoints[0]))
    with open(path, "w") as f:
        json.dump([made, told(endpoints[0], made)], f)
with open(path) as f:
    made, before = json.load(f)
for e in endpoints:
    now = told(e, made)
    for name in before:
        assert now[name] == before[name], (e, name, before[name], now[name])
if step == "check":  # and it goes on
    s3, _ = clients(endpoints[-1])
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=made[2], MultipartUpload={
        "Parts": [{"PartNumber": p["PartNumber"], "ETag": p["ETag"], "ChecksumSHA256": p["ChecksumSHA256"]} for p in before["parts"]["Parts"]]})
    assert s3.get_object(Bucket=bucket, Key="parts")["Body"].read() == b"part"
