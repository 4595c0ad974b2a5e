package s3

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aisle-store/aisle/cluster"
)

// Bounds of a browser's form.
const (
	maxFormFields  = 20 << 10 // bytes of names and values before the file
	maxFormHead    = 32 << 10 // bytes of the body before the file, with what is read ahead
	maxFormFile    = 5 << 30
	maxFieldsCount = 200
)

// Form is what a browser sends by POST to a bucket (AWS: "POST Object"): fields, and behind them the file, which is read from
// the connection as it comes.
type Form struct {
	File io.Reader // its bytes; what stands behind it is ignored

	fields []Field // names in lower case
	key    cluster.ObjectKey
}

// ReadForm reads the fields of a form up to the file.
func ReadForm(contentType string, body io.Reader) (*Form, error) {
	const op = "s3.ReadForm"
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return nil, NewFault(op, PreconditionFailed, "Bucket POST must be of the enclosure-type multipart/form-data")
	}
	head := &headReader{r: body, left: maxFormHead}
	f := &Form{}
	parts := multipart.NewReader(head, params["boundary"])
	for size := 0; ; {
		part, err := parts.NextRawPart()
		if err != nil {
			return nil, formError(op, err)
		}
		name := strings.ToLower(part.FormName())
		if name == "file" {
			head.left = -1
			f.File = part
			return f, f.setKey(part.FileName())
		}
		value, err := io.ReadAll(io.LimitReader(part, maxFormFields+1))
		if err != nil {
			return nil, formError(op, err)
		}
		if size += len(name) + len(value); size > maxFormFields || len(f.fields) == maxFieldsCount {
			return nil, NewFault(op, MaxPostPreDataLengthExceeded, "")
		}
		if name == "" || fieldIndex(f.fields, name) >= 0 || !utf8.Valid(value) {
			return nil, NewFault(op, MalformedPOSTRequest, "")
		}
		f.fields = append(f.fields, Field{name, string(value)})
	}
}

// formError is the error for a body that does not read as a form.
func formError(op string, err error) error {
	var known *cluster.Error
	switch {
	case err == io.EOF: //nolint:errorlint // the end of the form, not of something within
		return invalidArgument(op, "file", "0", "POST requires exactly one file upload per request.")
	case errors.As(err, &known):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return NewFault(op, IncompleteBody, "")
	}
	return NewFault(op, MalformedPOSTRequest, "")
}

// headReader bounds what is read until the file begins.
type headReader struct {
	r    io.Reader
	left int // -1: no bound
}

// Read implements io.Reader.
func (h *headReader) Read(p []byte) (int, error) {
	if h.left < 0 {
		return h.r.Read(p)
	}
	if h.left == 0 {
		return 0, NewFault("s3.headReader", MaxPostPreDataLengthExceeded, "")
	}
	n, err := h.r.Read(p[:min(len(p), h.left)])
	h.left -= n
	return n, err
}

// setKey takes the key, in which ${filename} stands for the name of the file.
func (f *Form) setKey(filename string) error {
	const op = "s3.Form.setKey"
	i := fieldIndex(f.fields, "key")
	if i < 0 {
		return invalidArgument(op, "key", "", "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.")
	}
	key := strings.ReplaceAll(f.fields[i].Value, "${filename}", filename)
	f.fields[i].Value, f.key = key, cluster.ObjectKey(key)
	switch {
	case key == "":
		return invalidArgument(op, "key", "", "User key must have a length greater than 0.")
	case len(key) > cluster.MaxKeyLength:
		return NewFault(op, KeyTooLong, "", Field{"Size", itoa(len(key))}, Field{"MaxSizeAllowed", itoa(cluster.MaxKeyLength)})
	case !utf8.ValidString(key):
		return NewFault(op, InvalidURI, "")
	}
	return nil
}

// Key returns the key of the object that the form makes.
func (f *Form) Key() cluster.ObjectKey { return f.key }

// Get returns the value of a field, whose name is given in lower case.
func (f *Form) Get(name string) string {
	if i := fieldIndex(f.fields, name); i >= 0 {
		return f.fields[i].Value
	}
	return ""
}

// formHeaders are the fields that are headers of the PutObject which a form amounts to, beside x-amz-*.
var formHeaders = []string{"cache-control", "content-disposition", "content-encoding", "content-language", "content-md5", "content-type", "expires"}

// signatureFields are the fields that sign the form.
var signatureFields = []string{"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token"}

// Headers returns the headers of the PutObject which the form amounts to.
func (f *Form) Headers() ([]Field, error) {
	const op = "s3.Form.Headers"
	var headers []Field
	for _, field := range f.fields {
		name, value := field.Name, field.Value
		switch {
		case name == "acl":
			name = "x-amz-acl"
		case name == "tagging":
			tags, err := ParseObjectTagging([]byte(value))
			if err != nil {
				return nil, err
			}
			name, value = TaggingHeader, tagQuery(tags)
		case strings.HasPrefix(name, metaPrefix):
			value = encodeWords(value)
		case slices.Contains(formHeaders, name), isAmz(name) && !slices.Contains(signatureFields, name):
		default:
			continue
		}
		if !isFieldName(name) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return nil, invalidArgument(op, name, value, "The field has characters that no header can have.")
		}
		if value != "" {
			headers = append(headers, Field{name, value})
		}
	}
	return headers, nil
}

// tagQuery writes tags in the form of x-amz-tagging.
func tagQuery(tags []Field) string {
	var b []byte
	for i, tag := range tags {
		if i > 0 {
			b = append(b, '&')
		}
		b = appendEscape(b, tag.Name, false)
		b = append(b, '=')
		b = appendEscape(b, tag.Value, false)
	}
	return string(b)
}

// Path returns the path under which the object of a form lies in a bucket.
func (f *Form) Path(bucket cluster.BucketName) string {
	return "/" + string(appendEscape(appendEscape(nil, string(bucket), false), "/"+string(f.key), true))
}

// Reply returns what the browser is answered when the object is stored: it chooses among a redirect, 200, 201 and 204.
func (f *Form) Reply(bucket cluster.BucketName, location, etag string) Reply {
	r := Reply{Status: 204, Header: []Field{{"Location", location}, {"ETag", etag}}}
	target := f.Get("success_action_redirect")
	if target == "" {
		target = f.Get("redirect")
	}
	if u, err := url.Parse(target); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		query := "bucket=" + url.QueryEscape(string(bucket)) + "&key=" + url.QueryEscape(string(f.key)) + "&etag=" + url.QueryEscape(etag)
		if u.RawQuery != "" {
			query = u.RawQuery + "&" + query
		}
		u.RawQuery = query
		return Reply{Status: 303, Header: []Field{{"Location", u.String()}, {"ETag", etag}}}
	}
	switch f.Get("success_action_status") {
	case "200":
		r.Status = 200
	case "201":
		r.Status = 201
		w := newXML(256)
		w.open("PostResponse")
		w.text("Location", location)
		w.text("Bucket", string(bucket))
		w.text("Key", string(f.key))
		w.text("ETag", etag)
		w.close("PostResponse")
		r.Body, r.Header = w.bytes(), append(r.Header, Field{"Content-Type", ContentTypeXML})
	}
	return r
}
