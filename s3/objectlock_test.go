package s3

import (
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

func TestParseObjectLock(t *testing.T) {
	f := func(body string, want cluster.BucketLock, code Code) {
		t.Helper()
		got, err := ParseObjectLock([]byte(body))
		switch {
		case code != "" && (err == nil || CodeOf(err) != code):
			t.Errorf("%s: %v, want %s", body, err, code)
		case code == "" && (err != nil || got != want):
			t.Errorf("%s: %+v, %v, want %+v", body, got, err, want)
		}
		if again, err := ParseObjectLock(ObjectLockXML(want)); code == "" && (err != nil || again != want) {
			t.Errorf("%+v is told as %s", want, ObjectLockXML(want))
		}
	}
	rule := func(s string) string {
		return "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>" + s + "</DefaultRetention></Rule></ObjectLockConfiguration>"
	}
	f("<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>", cluster.BucketLock{Enabled: true}, "")
	f(rule("<Mode>GOVERNANCE</Mode><Days>30</Days>"), cluster.BucketLock{Enabled: true, Mode: "GOVERNANCE", Days: 30}, "")
	f(rule("<Years>100</Years><Mode>COMPLIANCE</Mode>"), cluster.BucketLock{Enabled: true, Mode: "COMPLIANCE", Years: 100}, "")
	f(rule("<Mode>GOVERNANCE</Mode><Days>0</Days>"), cluster.BucketLock{}, InvalidRetentionPeriod)
	f(rule("<Mode>GOVERNANCE</Mode><Years>-1</Years>"), cluster.BucketLock{}, InvalidRetentionPeriod)
	f(rule("<Mode>GOVERNANCE</Mode><Years>101</Years>"), cluster.BucketLock{}, InvalidRetentionPeriod)
	f(rule("<Mode>GOVERNANCE</Mode><Days>99999999999999999999</Days>"), cluster.BucketLock{}, MalformedXML)
	f(rule("<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>"), cluster.BucketLock{}, MalformedXML)
	f(rule("<Mode>GOVERNANCE</Mode><Days>1</Days><Days>2</Days>"), cluster.BucketLock{}, MalformedXML)
	f(rule("<Mode>governance</Mode><Days>1</Days>"), cluster.BucketLock{}, MalformedXML)
	f(rule("<Mode>GOVERNANCE</Mode>"), cluster.BucketLock{}, MalformedXML)
	f(rule(""), cluster.BucketLock{}, MalformedXML)
	f("<ObjectLockConfiguration><ObjectLockEnabled>Disabled</ObjectLockEnabled></ObjectLockConfiguration>", cluster.BucketLock{}, MalformedXML)
	f("<ObjectLockConfiguration/>", cluster.BucketLock{}, MalformedXML)
	f("", cluster.BucketLock{}, MalformedXML)
}

func TestReadLock(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f := func(mode, until, hold string, want ObjectLock, code Code) {
		t.Helper()
		got, err := ReadLock(newCall(t, "PUT", "/b/k", "h", 0, fields{{lockModeHeader, mode}, {lockUntilHeader, until}, {lockHoldHeader, hold}}), now)
		if code != "" && (err == nil || CodeOf(err) != code) || code == "" && (err != nil || got != want) {
			t.Errorf("%q %q %q: %+v, %v, want %+v %s", mode, until, hold, got, err, want, code)
		}
	}
	until := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	f("", "", "", ObjectLock{}, "")
	f("", "", "OFF", ObjectLock{Hold: "OFF"}, "")
	f("GOVERNANCE", "2030-01-01T12:00:00Z", "ON", ObjectLock{Mode: "GOVERNANCE", Until: until, Hold: "ON"}, "")
	f("COMPLIANCE", "2030-01-01T14:00:00.0001+02:00", "", ObjectLock{Mode: "COMPLIANCE", Until: until}, "")
	f("COMPLIANCE", "20300101T120000Z", "", ObjectLock{Mode: "COMPLIANCE", Until: until}, "")
	f("COMPLIANCE", "2026-01-01T00:00:00Z", "", ObjectLock{}, InvalidArgument)
	f("COMPLIANCE", "9999-12-31T23:59:59-12:00", "", ObjectLock{}, InvalidArgument)
	f("COMPLIANCE", "tomorrow", "", ObjectLock{}, InvalidArgument)
	f("COMPLIANCE", "", "", ObjectLock{}, InvalidArgument)
	f("", "2030-01-01T12:00:00Z", "", ObjectLock{}, InvalidArgument)
	f("compliance", "2030-01-01T12:00:00Z", "", ObjectLock{}, InvalidArgument)
	f("", "", "maybe", ObjectLock{}, InvalidArgument)
}

func TestParseRetention(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f := func(body string, want ObjectLock, code Code) {
		t.Helper()
		got, err := ParseRetention([]byte(body), now)
		if code != "" && (err == nil || CodeOf(err) != code) || code == "" && (err != nil || got != want) {
			t.Errorf("%s: %+v, %v, want %+v %s", body, got, err, want, code)
		}
	}
	f("<Retention/>", ObjectLock{}, "")
	f("<Retention><RetainUntilDate>2030-01-01T12:00:00Z</RetainUntilDate><Mode>GOVERNANCE</Mode></Retention>",
		ObjectLock{Mode: "GOVERNANCE", Until: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)}, "")
	f("<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2025-01-01T12:00:00Z</RetainUntilDate></Retention>", ObjectLock{}, InvalidArgument)
	f("<Retention><Mode>abc</Mode><RetainUntilDate>2030-01-01T12:00:00Z</RetainUntilDate></Retention>", ObjectLock{}, MalformedXML)
	f("<Retention><Mode>GOVERNANCE</Mode></Retention>", ObjectLock{}, MalformedXML)
	f("<Retention><RetainUntilDate>2030-01-01T12:00:00Z</RetainUntilDate></Retention>", ObjectLock{}, MalformedXML)
	f("<Hold/>", ObjectLock{}, MalformedXML)
	f("", ObjectLock{}, MalformedXML)
}
