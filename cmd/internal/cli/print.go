package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// printf writes to standard output.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.Out, format, args...) }

// printJSON writes a value, indented.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.Out)
	e.SetIndent("", "    ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// table collects rows and prints them aligned.
type table struct {
	w *tabwriter.Writer
}

// table begins a table with headers, unless they are not wanted.
func (a *app) table(headers ...string) *table {
	t := &table{tabwriter.NewWriter(a.Out, 0, 8, 3, ' ', 0)}
	if !a.noHeaders && len(headers) > 0 {
		t.row(headers...)
	}
	return t
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		if c == "" {
			cells[i] = "-"
		}
	}
	_, _ = io.WriteString(t.w, strings.Join(cells, "\t")+"\n") // end tells errors
}

func (t *table) end() error { return t.w.Flush() }

// properties prints a table of two columns.
func (a *app) properties(rows [][2]string) error {
	t := a.table("PROPERTY", "VALUE")
	for _, r := range rows {
		t.row(r[0], r[1])
	}
	return t.end()
}

// size prints a number of bytes in the chosen units.
func (a *app) size(n int64) string { return formatSize(n, a.units) }

func formatSize(n int64, units string) string {
	base, suffix := 1024.0, "iB"
	switch units {
	case "raw":
		return strconv.FormatInt(n, 10)
	case "si":
		base, suffix = 1000, "B"
	}
	if float64(n) < base {
		return strconv.FormatInt(n, 10) + "B"
	}
	v, unit := float64(n), 0
	for ; v >= base && unit < len("KMGTPE"); unit++ {
		v /= base
	}
	return fmt.Sprintf("%.2f%c%s", v, "KMGTPE"[unit-1], suffix)
}

func formatTime(t time.Time) string {
	if t.IsZero() || t.UnixNano() == 0 {
		return ""
	}
	return t.Local().Format(time.RFC822)
}

func formatDuration(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// name prints a key so that control characters in it do nothing to the terminal.
func name(key string) string {
	for _, r := range key {
		if !unicode.IsPrint(r) {
			return strconv.Quote(key)
		}
	}
	return key
}

// confirm asks the user, unless --yes was given.
func (a *app) confirm(question string) error {
	if a.yes {
		return nil
	}
	fmt.Fprintf(a.Err, "%s [Y/N]: ", question)
	line, err := bufio.NewReader(a.In).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	case "":
		if err != nil {
			fmt.Fprintln(a.Err)
			return &usageError{"nobody answered; use --yes to go on without asking"}
		}
	}
	return fmt.Errorf("not confirmed, nothing was done")
}
