"""Roles and temporary credentials, as boto3 sees them. Arguments: bucket, endpoints separated by commas, URL of an issuer of web identities."""
import itertools
import json
import sys
import time
import urllib.request

import boto3
import botocore.exceptions
from botocore import UNSIGNED
from botocore.config import Config

bucket, endpoints, issuer = sys.argv[1], sys.argv[2].split(","), sys.argv[3]
account = "arn:aws:iam::000000000000:"


def clients(service="s3", **keys):
    """One client for each gateway, in turn."""
    config = Config(signature_version=keys.pop("sign", "s3v4" if service == "s3" else None), retries={"max_attempts": 0})
    return itertools.cycle([boto3.client(service, endpoint_url=e, region_name="us-east-1", config=config, **keys) for e in endpoints])


def with_credentials(c, service="s3", **more):
    return clients(service, aws_access_key_id=c["AccessKeyId"], aws_secret_access_key=c["SecretAccessKey"], aws_session_token=c["SessionToken"], **more)


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
    except botocore.exceptions.ClientError as e:
        assert e.response["Error"]["Code"] == code, (code, e.response)
        return e.response
    raise AssertionError("want " + code)


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(principal, action="sts:AssumeRole", **more):
    return policy(dict({"Effect": "Allow", "Principal": principal, "Action": action}, **more))


def allow(actions, resource="*"):
    return policy({"Effect": "Allow", "Action": actions, "Resource": resource})


iam, sts, root = clients("iam"), clients("sts"), clients()
names = {n: bucket + "-" + n for n in ("ann", "bob", "reader", "team", "web")}
users = {}
for n in ("ann", "bob"):
    next(iam).create_user(UserName=names[n])
    key = next(iam).create_access_key(UserName=names[n])["AccessKey"]
    users[n] = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
ann, bob = clients("sts", **users["ann"]), clients("sts", **users["bob"])
next(root).create_bucket(Bucket=bucket)
next(root).put_object(Bucket=bucket, Key="in/a", Body=b"a")
next(root).put_object(Bucket=bucket, Key="out/b", Body=b"b")
arn = "arn:aws:s3:::" + bucket

# roles, by the query API of IAM
refused("MalformedPolicyDocument", next(iam).create_role, RoleName=names["reader"], AssumeRolePolicyDocument="{")
refused("NoSuchEntity", next(iam).get_role, RoleName=names["reader"])
made = next(iam).create_role(RoleName=names["reader"], AssumeRolePolicyDocument=trust({"AWS": account + "user/" + names["ann"]}), MaxSessionDuration=7200, Description="reads")["Role"]
assert made["Arn"] == account + "role/" + names["reader"] and made["MaxSessionDuration"] == 7200, made
assert made["AssumeRolePolicyDocument"]["Statement"][0]["Action"] == "sts:AssumeRole"
refused("EntityAlreadyExists", next(iam).create_role, RoleName=names["reader"], AssumeRolePolicyDocument=trust({"AWS": "*"}))
next(iam).put_role_policy(RoleName=names["reader"], PolicyName="read", PolicyDocument=allow(["s3:GetObject", "s3:ListBucket"], [arn, arn + "/*"]))
assert next(iam).list_role_policies(RoleName=names["reader"])["PolicyNames"] == ["read"]
assert next(iam).get_role_policy(RoleName=names["reader"], PolicyName="read")["PolicyDocument"]["Statement"][0]["Effect"] == "Allow"
assert names["reader"] in [r["RoleName"] for r in next(iam).list_roles()["Roles"]]
next(iam).attach_role_policy(RoleName=names["reader"], PolicyArn="arn:aws:iam::aws:policy/ownbuckets")
assert next(iam).list_attached_role_policies(RoleName=names["reader"])["AttachedPolicies"][0]["PolicyName"] == "ownbuckets"
next(iam).detach_role_policy(RoleName=names["reader"], PolicyArn="arn:aws:iam::aws:policy/ownbuckets")
refused("DeleteConflict", next(iam).delete_role, RoleName=names["reader"])
next(iam).update_role(RoleName=names["reader"], MaxSessionDuration=3600)
assert next(iam).get_role(RoleName=names["reader"])["Role"]["MaxSessionDuration"] == 3600

# a role is for those whom it trusts
become = {"RoleArn": made["Arn"], "RoleSessionName": "a-session"}
for _ in endpoints:
    got = next(ann).assume_role(**become)
    assert got["AssumedRoleUser"]["Arn"] == "arn:aws:sts::000000000000:assumed-role/%s/a-session" % names["reader"], got
    assert 3500 < (got["Credentials"]["Expiration"].timestamp() - time.time()) <= 3601 and got["Credentials"]["AccessKeyId"].startswith("ASIA")
    refused("AccessDenied", next(bob).assume_role, **become)
    refused("AccessDenied", next(ann).assume_role, **dict(become, RoleArn=made["Arn"] + "-none"))
refused("ValidationError", next(ann).assume_role, DurationSeconds=4000, **become)
refused("ValidationError", next(ann).assume_role, **dict(become, RoleSessionName="a b"))
refused("MalformedPolicyDocument", next(ann).assume_role, Policy='{"Statement": 1}', **become)
refused("PackedPolicyTooLarge", next(ann).assume_role, Policy=allow(["s3:GetObject"], [arn + "/" + "x" * 2000, arn]), **become)

# what a session may: by header, presigned, in signed chunks, and in a browser's form
session = got["Credentials"]
s3, who = with_credentials(session), with_credentials(session, "sts")
assert next(who).get_caller_identity()["Arn"] == got["AssumedRoleUser"]["Arn"]
for _ in endpoints:
    assert next(s3).get_object(Bucket=bucket, Key="in/a")["Body"].read() == b"a"
    assert len(next(s3).list_objects_v2(Bucket=bucket)["Contents"]) == 2
    said = refused("AccessDenied", next(s3).put_object, Bucket=bucket, Key="in/n", Body=b"n")
    assert "assumed-role/" in said["Error"]["Message"], said
for sign in ("s3v4", "s3"):
    url = next(with_credentials(session, sign=sign)).generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "in/a"})
    assert urllib.request.urlopen(url).read() == b"a", sign
    try:
        urllib.request.urlopen(url.replace("oken=", "oken=x", 1))
        raise AssertionError("a URL with another token")
    except urllib.error.HTTPError as e:
        assert e.code == 400 and b"InvalidToken" in e.read()
bound = next(ann).assume_role(Policy=allow("s3:*", arn + "/in/*"), **become)
bounded = with_credentials(bound["Credentials"])
for _ in endpoints:
    assert next(bounded).get_object(Bucket=bucket, Key="in/a")["Body"].read() == b"a"
    refused("AccessDenied", next(bounded).get_object, Bucket=bucket, Key="out/b")
    refused("AccessDenied", next(bounded).put_object, Bucket=bucket, Key="in/n", Body=b"n")
    refused("AccessDenied", next(bounded).list_objects_v2, Bucket=bucket)
managed = with_credentials(next(ann).assume_role(PolicyArns=[{"arn": "arn:aws:iam::aws:policy/writeonly"}], **become)["Credentials"])
refused("AccessDenied", next(managed).get_object, Bucket=bucket, Key="in/a")
next(iam).put_role_policy(RoleName=names["reader"], PolicyName="write", PolicyDocument=allow(["s3:PutObject", "s3:DeleteObject"], arn + "/*"))
for _ in endpoints:
    next(managed).put_object(Bucket=bucket, Key="in/m", Body=b"m")
    next(s3).put_object(Bucket=bucket, Key="in/n", Body=b"n" * 100000)
    form = next(s3).generate_presigned_post(bucket, "in/form")
    body = "".join('--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % f for f in form["fields"].items())
    body += '--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nfile\r\n--x--\r\n'
    urllib.request.urlopen(urllib.request.Request(form["url"], data=body.encode(), headers={"Content-Type": "multipart/form-data; boundary=x"}))
    assert next(s3).get_object(Bucket=bucket, Key="in/form")["Body"].read() == b"file"

# tokens that do not hold
keys = dict(aws_access_key_id=session["AccessKeyId"], aws_secret_access_key=session["SecretAccessKey"])
refused("InvalidAccessKeyId", next(clients(**keys)).list_buckets)
refused("InvalidToken", next(clients(aws_session_token="nonsense", **keys)).list_buckets)
refused("InvalidToken", next(clients(aws_session_token=bound["Credentials"]["SessionToken"], **keys)).list_buckets)
refused("InvalidToken", next(clients(aws_session_token=session["SessionToken"], **users["ann"])).list_buckets)
refused("SignatureDoesNotMatch", next(clients(aws_session_token=session["SessionToken"], **dict(keys, aws_secret_access_key="x" * 40))).list_buckets)

# trust of the whole account needs a policy of the user, too; conditions; roles of roles
next(iam).create_role(RoleName=names["team"], AssumeRolePolicyDocument=trust({"AWS": account + "root"}, Condition={"StringEquals": {"sts:ExternalId": "secret"}}))
team = {"RoleArn": account + "role/" + names["team"], "RoleSessionName": "t1", "ExternalId": "secret"}
refused("AccessDenied", next(bob).assume_role, **team)
next(iam).put_user_policy(UserName=names["bob"], PolicyName="team", PolicyDocument=allow("sts:AssumeRole", team["RoleArn"]))
for _ in endpoints:
    next(bob).assume_role(**team)
    refused("AccessDenied", next(bob).assume_role, **dict(team, ExternalId="other"))
refused("AccessDenied", next(ann).assume_role, **team)
next(iam).update_assume_role_policy(RoleName=names["team"], PolicyDocument=trust({"AWS": made["Arn"]}))
chained = next(who).assume_role(RoleArn=team["RoleArn"], RoleSessionName="chained")
assert chained["AssumedRoleUser"]["Arn"].endswith(names["team"] + "/chained")
refused("ValidationError", next(who).assume_role, RoleArn=team["RoleArn"], RoleSessionName="chained", DurationSeconds=7200)

tight = with_credentials(bound["Credentials"], "sts")
refused("AccessDenied", next(tight).assume_role, RoleArn=team["RoleArn"], RoleSessionName="loose")
refused("AccessDenied", next(ann).assume_role, SourceIdentity="somebody", **become)
next(iam).update_assume_role_policy(RoleName=names["reader"], PolicyDocument=trust({"AWS": account + "user/" + names["ann"]}, ["sts:AssumeRole", "sts:SetSourceIdentity"]))
said = next(ann).assume_role(SourceIdentity="somebody", **become)
assert said["SourceIdentity"] == "somebody", said
refused("AccessDenied", next(with_credentials(said["Credentials"], "sts")).assume_role, RoleArn=team["RoleArn"], RoleSessionName="chained")

# a session of one's own
own = next(ann).get_session_token(DurationSeconds=900)["Credentials"]
assert next(with_credentials(own, "sts")).get_caller_identity()["Arn"] == account + "user/" + names["ann"]
refused("AccessDenied", next(with_credentials(own, "sts")).get_session_token)
refused("AccessDenied", next(with_credentials(next(sts).get_session_token()["Credentials"], "iam")).create_access_key, UserName=names["ann"])
refused("ValidationError", next(ann).get_session_token, DurationSeconds=200000)
refused("AccessDenied", next(with_credentials(own)).get_object, Bucket=bucket, Key="in/a")
assert bucket in [b["Name"] for b in next(with_credentials(next(sts).get_session_token()["Credentials"])).list_buckets()["Buckets"]]

# web identities
provider = next(iam).create_open_id_connect_provider(Url=issuer, ClientIDList=["app"], ThumbprintList=[])["OpenIDConnectProviderArn"]
host = issuer.split("://")[1]
assert provider == account + "oidc-provider/" + host, provider
assert next(iam).get_open_id_connect_provider(OpenIDConnectProviderArn=provider)["ClientIDList"] == ["app"]
assert provider in [p["Arn"] for p in next(iam).list_open_id_connect_providers()["OpenIDConnectProviderList"]]
next(iam).create_role(RoleName=names["web"], AssumeRolePolicyDocument=trust({"Federated": provider}, "sts:AssumeRoleWithWebIdentity", Condition={"StringLike": {host + ":sub": "team:*"}}))
next(iam).attach_role_policy(RoleName=names["web"], PolicyArn="arn:aws:iam::aws:policy/readonly")
unsigned = clients("sts", sign=UNSIGNED)


def token(**claims):
    return urllib.request.urlopen(issuer + "/mint", data=json.dumps(claims).encode()).read().decode()


web = {"RoleArn": account + "role/" + names["web"], "RoleSessionName": "w1"}
for _ in endpoints:
    got = next(unsigned).assume_role_with_web_identity(WebIdentityToken=token(sub="team:a", aud="app"), **web)
    assert got["SubjectFromWebIdentityToken"] == "team:a" and got["Audience"] == "app" and got["Provider"] == provider, got
    assert next(with_credentials(got["Credentials"])).get_object(Bucket=bucket, Key="in/a")["Body"].read() == b"a"
    refused("AccessDenied", next(unsigned).assume_role_with_web_identity, WebIdentityToken=token(sub="other:a", aud="app"), **web)
    refused("InvalidIdentityToken", next(unsigned).assume_role_with_web_identity, WebIdentityToken=token(sub="team:a", aud="other"), **web)
    refused("ExpiredTokenException", next(unsigned).assume_role_with_web_identity, WebIdentityToken=token(sub="team:a", aud="app", exp=1000), **web)
    refused("InvalidIdentityToken", next(unsigned).assume_role_with_web_identity, WebIdentityToken=token(sub="team:a", aud="app", iss="https://elsewhere"), **web)
    refused("InvalidIdentityToken", next(unsigned).assume_role_with_web_identity, WebIdentityToken="not.a.token", **web)
good = token(sub="team:a", aud="app")
head, body, signature = good.split(".")
refused("InvalidIdentityToken", next(unsigned).assume_role_with_web_identity, WebIdentityToken=".".join((head, token(sub="team:z", aud="app").split(".")[1], signature)), **web)
refused("AccessDenied", next(unsigned).assume_role_with_web_identity, WebIdentityToken=good, **dict(web, RoleArn=made["Arn"]))
next(iam).delete_open_id_connect_provider(OpenIDConnectProviderArn=provider)
refused("InvalidIdentityToken", next(unsigned).assume_role_with_web_identity, WebIdentityToken=good, **web)

# sessions end with what they are of
next(iam).delete_access_key(UserName=names["ann"], AccessKeyId=users["ann"]["aws_access_key_id"])
for _ in endpoints:
    refused("InvalidToken", next(with_credentials(own)).list_buckets)
    next(s3).get_object(Bucket=bucket, Key="in/a")
for name in ("read", "write"):
    next(iam).delete_role_policy(RoleName=names["reader"], PolicyName=name)
for _ in endpoints:
    refused("AccessDenied", next(s3).get_object, Bucket=bucket, Key="in/a")
next(iam).delete_role(RoleName=names["reader"])
for _ in endpoints:
    refused("InvalidToken", next(s3).get_object, Bucket=bucket, Key="in/a")
next(iam).create_role(RoleName=names["reader"], AssumeRolePolicyDocument=trust({"AWS": "*"}))
refused("InvalidToken", next(s3).get_object, Bucket=bucket, Key="in/a")
print("ok")
