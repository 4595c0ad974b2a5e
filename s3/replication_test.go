package s3

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestParseReplication(t *testing.T) {
	const to = "<Destination><Bucket>arn:aws:s3:::other</Bucket></Destination>"
	const newer = "<Priority>1</Priority><DeleteMarkerReplication><Status>Disabled</Status></DeleteMarkerReplication>"
	of := func(rules ...string) string {
		return "<ReplicationConfiguration><Role>arn:aws:iam::000000000000:role/r</Role><Rule>" + strings.Join(rules, "</Rule><Rule>") + "</Rule></ReplicationConfiguration>"
	}
	good := func(enabled bool, rules ...string) {
		t.Helper()
		r, err := ParseReplication([]byte(of(rules...)))
		if err != nil || r.Enabled != enabled || len(r.Destinations) != len(rules) || r.Destinations[0] != "other" {
			t.Errorf("%s: %+v, %v", rules, r, err)
			return
		}
		value, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := DecodeReplication(value)
		if err != nil {
			t.Fatal(err)
		}
		told := kept.(*Replication).XML()
		if again, err := ParseReplication(told); err != nil || !bytes.Equal(again.XML(), told) || !bytes.Contains(told, []byte("<ID>")) {
			t.Errorf("told as %s, %v", told, err)
		}
	}
	bad := func(code Code, says string, rules ...string) {
		t.Helper()
		_, err := ParseReplication([]byte(of(rules...)))
		wantCode(t, err, code)
		if err != nil && !strings.Contains(MessageOf(err), says) {
			t.Errorf("%s: %v", rules, err)
		}
	}
	on, off := "<Status>Enabled</Status>", "<Status>Disabled</Status>"
	good(true, on+"<Prefix/>"+to)
	good(false, off+"<Prefix>a</Prefix>"+to, off+"<Prefix>b</Prefix>"+to)
	good(true, off+"<Filter/>"+newer+to, on+"<ID>x</ID><Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>"+strings.Replace(newer, "1", "2", 1)+to)
	kms := "<SourceSelectionCriteria><SseKmsEncryptedObjects><Status>Enabled</Status></SseKmsEncryptedObjects></SourceSelectionCriteria>"
	with := func(more string) string { return strings.Replace(to, "</Destination>", more+"</Destination>", 1) }
	good(true, on+"<Prefix/>"+kms+with("<StorageClass>STANDARD_IA</StorageClass><Account>000000000000</Account><AccessControlTranslation><Owner>Destination</Owner></AccessControlTranslation>"+
		"<EncryptionConfiguration><ReplicaKmsKeyID>k</ReplicaKmsKeyID></EncryptionConfiguration><ReplicationTime><Status>Enabled</Status><Time><Minutes>15</Minutes></Time></ReplicationTime>"+
		"<Metrics><Status>Enabled</Status><EventThreshold><Minutes>15</Minutes></EventThreshold></Metrics>"))

	bad(MalformedXML, "", "<Prefix/>"+to)
	bad(MalformedXML, "", "<Status>On</Status><Prefix/>"+to)
	bad(MalformedXML, "", on+to)
	bad(MalformedXML, "", on+"<Prefix/><Filter/>"+newer+to)
	bad(MalformedXML, "", on+"<Prefix/>")
	bad(MalformedXML, "", on+"<Prefix/><Prefix/>"+to)
	bad(MalformedXML, "", on+"<Prefix/><Other/>"+to)
	bad(MalformedXML, "", on+"<Prefix/>"+with("<StorageClass>BEST</StorageClass>"))
	bad(MalformedXML, "", on+"<Filter><And><Prefix>p</Prefix></And></Filter>"+newer+to)
	bad(MalformedXML, "", on+"<Filter/>"+strings.Replace(newer, "1", "x", 1)+to)
	bad(InvalidArgument, "Invalid bucket ARN", on+"<Prefix/>"+strings.Replace(to, "arn:aws:s3:::", "", 1))
	bad(InvalidArgument, "must be unique", on+"<ID>a</ID><Prefix>a</Prefix>"+to, on+"<ID>a</ID><Prefix>b</Prefix>"+to)
	bad(InvalidArgument, "255", on+"<ID>"+strings.Repeat("x", 256)+"</ID><Prefix/>"+to)
	bad(InvalidRequest, "Priority cannot be used", on+"<Priority>1</Priority><Prefix/>"+to)
	bad(InvalidRequest, "DeleteMarkerReplication cannot be used", on+"<DeleteMarkerReplication><Status>Enabled</Status></DeleteMarkerReplication><Prefix/>"+to)
	bad(InvalidRequest, "Priority must be specified", on+"<Filter/>"+strings.Replace(newer, "<Priority>1</Priority>", "", 1)+to)
	bad(InvalidRequest, "DeleteMarkerReplication must be specified", on+"<Filter/><Priority>1</Priority>"+to)
	bad(InvalidRequest, "duplicate priority", on+"<Filter/>"+newer+to, on+"<Filter/>"+newer+to)
	bad(InvalidRequest, "any Tag filter", on+"<Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter>"+strings.Replace(newer, "Disabled", "Enabled", 1)+to)
	bad(InvalidRequest, "overlapping prefixes", on+"<Prefix>a</Prefix>"+to, on+"<Prefix>ab</Prefix>"+to)
	bad(InvalidRequest, "EncryptionConfiguration must be specified", on+"<Prefix/>"+kms+to)
	bad(InvalidRequest, "Metrics must be specified", on+"<Prefix/>"+with("<ReplicationTime><Status>Enabled</Status><Time><Minutes>15</Minutes></Time></ReplicationTime>"))
	bad(InvalidArgument, "15", on+"<Prefix/>"+with("<Metrics><Status>Enabled</Status><EventThreshold><Minutes>5</Minutes></EventThreshold></Metrics>"))
	for doc, code := range map[string]Code{
		"<ReplicationConfiguration/>": MalformedXML, strings.Replace(of(on+"<Prefix/>"+to), "<Role>arn:aws:iam::000000000000:role/r</Role>", "", 1): MalformedXML,
		strings.Replace(of(on+"<Prefix/>"+to), "role/r", "user/u", 1): InvalidArgument,
	} {
		_, err := ParseReplication([]byte(doc))
		wantCode(t, err, code)
	}
}
