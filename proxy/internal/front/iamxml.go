package front

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/proxy/internal/access"
	"github.com/aisle-store/aisle/s3"
)

// The XML namespaces of the query APIs.
var queryNamespaces = map[string]string{
	"iam": "https://iam.amazonaws.com/doc/2010-05-08/", "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
}

// queryXML writes the replies of a query API.
type queryXML struct {
	b    bytes.Buffer
	page page // of the list that is told
}

// page is what a request asks for of a list.
type page struct{ after, limit int }

// maxItems is how much of a list can be asked for at a time. Who does not ask gets it whole.
const maxItems = 1000

// readPage reads MaxItems and Marker. A marker says how much was told.
func readPage(p url.Values) (page, error) {
	var of page
	var err error
	if text := p.Get("MaxItems"); text != "" {
		if of.limit, err = strconv.Atoi(text); err != nil || of.limit < 1 || of.limit > maxItems {
			return of, invalidParameter("maxItems", text, "Member must have value between 1 and "+strconv.Itoa(maxItems))
		}
	}
	if text := p.Get("Marker"); text != "" {
		if of.after, err = strconv.Atoi(text); err != nil || of.after < 1 {
			return of, access.Refuse(access.ValidationError, "Invalid Marker: "+text)
		}
	}
	return of, nil
}

func (w *queryXML) bytes() []byte { return w.b.Bytes() }

// in writes an element with what fill writes inside.
func (w *queryXML) in(name string, fill func()) {
	w.b.WriteString("<" + name + ">")
	fill()
	w.b.WriteString("</" + name + ">")
}

func (w *queryXML) text(name, value string) {
	w.in(name, func() { _ = xml.EscapeText(&w.b, []byte(value)) }) // a buffer takes everything
}

func (w *queryXML) time(name string, t time.Time) { w.text(name, t.UTC().Format(time.RFC3339)) }

// document is written as IAM does: percent-encoded.
func (w *queryXML) document(name, value string) { w.text(name, s3.EscapeText(value)) }

// unended writes a list that is followed by others.
func unended[T any](w *queryXML, name string, list []T, member func(T)) {
	w.in(name, func() {
		for _, m := range list {
			w.in("member", func() { member(m) })
		}
	})
}

// members writes a list, or the page of it that is asked for.
func members[T any](w *queryXML, name string, list []T, member func(T)) {
	list = list[min(w.page.after, len(list)):]
	more := w.page.limit > 0 && len(list) > w.page.limit
	if more {
		list = list[:w.page.limit]
	}
	unended(w, name, list, member)
	w.text("IsTruncated", strconv.FormatBool(more))
	if more {
		w.text("Marker", strconv.Itoa(w.page.after+w.page.limit))
	}
}

func (w *queryXML) success(q *query, result func(*queryXML)) {
	w.b.WriteString("<" + q.action + `Response xmlns="` + queryNamespaces[q.service] + `">`)
	if result != nil {
		w.in(q.action+"Result", func() { result(w) })
	}
	w.in("ResponseMetadata", func() { w.text("RequestId", string(q.req.ID)) })
	w.b.WriteString("</" + q.action + "Response>")
}

// queryStatus is the status of each refusal of a change.
var queryStatus = map[access.Code]int{
	access.NoSuchEntity: http.StatusNotFound, access.EntityAlreadyExists: http.StatusConflict, access.DeleteConflict: http.StatusConflict,
	access.LimitExceeded: http.StatusConflict,
}

// failure writes an error and returns its status.
func (w *queryXML) failure(q *query, err error) int {
	code, message, status := string(s3.CodeOf(err)), err.Error(), s3.StatusOf(err)
	if fault, ok := access.FaultOf(err); ok {
		code, message, status = string(fault.Code), fault.Message, queryStatus[fault.Code]
		if status == 0 {
			status = http.StatusBadRequest
		}
	} else if s3.CodeOf(err) == s3.ExpiredToken {
		code, message, status = "ExpiredToken", "The security token included in the request is expired", http.StatusForbidden
	} else if s3.CodeOf(err) == s3.InvalidAccessKeyID || s3.CodeOf(err) == s3.InvalidToken {
		status = http.StatusForbidden
		code, message = "InvalidClientTokenId", "The security token included in the request is invalid."
	} else if cluster.Is(err, cluster.KindNotImplemented) {
		code, message, status = "InvalidAction", s3.MessageOf(err), http.StatusBadRequest
	} else {
		message = s3.MessageOf(err)
	}
	w.b.WriteString(`<ErrorResponse xmlns="` + queryNamespaces[q.service] + `">`)
	w.in("Error", func() {
		w.text("Type", map[bool]string{true: "Sender", false: "Receiver"}[status < 500])
		w.text("Code", code)
		w.text("Message", message)
	})
	w.text("RequestId", string(q.req.ID))
	w.b.WriteString("</ErrorResponse>")
	return status
}
