"""Requests with boto3's defaults until standard input ends: none may fail. Arguments: bucket, endpoint."""
import collections
import hashlib
import os
import random
import sys
import threading
import time
import traceback

import boto3
import botocore.exceptions

bucket, endpoint = sys.argv[1], sys.argv[2]
held = bucket + "-held"  # with versions that are under legal hold
stop = threading.Event()
failures = []
slowest = collections.defaultdict(float)
counts = collections.Counter()
lock = threading.Lock()


def call(name, f, Bucket=bucket, **kwargs):
    began = time.monotonic()
    try:
        return f(Bucket=Bucket, **kwargs)
    except Exception:
        with lock:
            failures.append("%s %s after %.2f s\n%s" % (name, kwargs.get("Key", ""), time.monotonic() - began, traceback.format_exc()))
        stop.set()
        raise
    finally:
        with lock:
            counts[name] += 1
            slowest[name] = max(slowest[name], time.monotonic() - began)


def refused(s3):
    """A delete that says whether it is refused because of a lock: any other error is one."""
    def delete(**kwargs):
        try:
            s3.delete_object(**kwargs)
        except botocore.exceptions.ClientError as e:
            if e.response["Error"]["Code"] == "AccessDenied":
                return True
            raise
        return False
    return delete


absent = [{"Key": "absent/%d" % i} for i in range(30)]


def work(i):
    s3 = boto3.session.Session().client("s3", endpoint_url=endpoint)
    n, locked = 0, []
    while not stop.is_set():
        n += 1
        key = "%s/%d/%d" % (os.getpid(), i, n % 20)
        body = os.urandom([100, 20_000, 300_000][n % 3])
        etag = '"%s"' % hashlib.md5(body).hexdigest()
        assert call("put_object", s3.put_object, Key=key, Body=body)["ETag"] == etag
        assert call("get_object", s3.get_object, Key=key)["Body"].read() == body
        assert call("head_object", s3.head_object, Key=key)["ETag"] == etag
        listed = call("list_objects_v2", s3.list_objects_v2, Prefix=key)["Contents"]
        assert etag in [o["ETag"] for o in listed if o["Key"] == key], listed
        call("copy_object", s3.copy_object, Key=key + "copy", CopySource={"Bucket": bucket, "Key": key})
        upload = call("create_multipart_upload", s3.create_multipart_upload, Key=key + "parts")["UploadId"]
        part = call("upload_part", s3.upload_part, Key=key + "parts", UploadId=upload, PartNumber=1, Body=body)["ETag"]
        call("complete_multipart_upload", s3.complete_multipart_upload, Key=key + "parts", UploadId=upload,
             MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
        assert call("get_object", s3.get_object, Key=key + "parts")["Body"].read() == body
        call("delete_object", s3.delete_object, Key=key + "copy")
        gone = call("delete_objects", s3.delete_objects, Delete={"Objects": [{"Key": key + "parts"}] + absent})  # of every owner
        assert "Errors" not in gone, gone
        of = {"Bucket": held, "Key": "%d/%d" % (i, n % 20)}
        version = call("put_object held", s3.put_object, Body=body, ObjectLockLegalHoldStatus="ON", **of)["VersionId"]
        locked.append({"VersionId": version, **of})
        of = random.choice(locked)
        assert call("delete_object held", refused(s3), **of), of
        assert call("head_object held", s3.head_object, **of)["ObjectLockLegalHoldStatus"] == "ON"
        if n % 3 == 0:
            locked.remove(of)
            call("put_object_legal_hold", s3.put_object_legal_hold, LegalHold={"Status": "OFF"}, **of)
            call("delete_object version", s3.delete_object, **of)
        time.sleep(0.02)
    for of in locked:
        assert call("delete_object held", refused(s3), **of), of


def run(i):
    try:
        work(i)
    except Exception:
        with lock:
            failures.append(traceback.format_exc())
        stop.set()


boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=held, ObjectLockEnabledForBucket=True)
threads = [threading.Thread(target=run, args=(i,)) for i in range(6)]
for t in threads:
    t.start()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
for t in threads:
    t.join()
for name in sorted(counts):
    print("%-26s %5d, slowest %.2f s" % (name, counts[name], slowest[name]))
if failures:
    sys.exit("\n".join(failures[:5]))
