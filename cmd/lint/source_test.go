package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// longFunctions are the functions over the limit, with their length. The list only shrinks: shorten one and take it out.
var longFunctions = map[string]int{}

const functionLimit = 70 // lines, from func to the closing brace

func TestFormat(t *testing.T) {
	for _, f := range files(t, ".go") {
		formatted, err := format.Source(f.text)
		if err != nil {
			t.Errorf("%s: %v", f.path, err)
		} else if !bytes.Equal(formatted, f.text) {
			t.Errorf("%s is not formatted: run gofmt -w %[1]s", f.path)
		}
	}
}

func TestPackageComments(t *testing.T) {
	commented := make(map[string][]string)
	for _, f := range sources(t) {
		dir := filepath.Dir(f.path)
		if _, ok := commented[dir]; !ok {
			commented[dir] = nil
		}
		if f.ast.Doc == nil {
			continue
		}
		commented[dir] = append(commented[dir], f.path)
		want := "Package " + f.ast.Name.Name + " "
		if f.main() {
			want = "Command "
		}
		if !strings.HasPrefix(f.ast.Doc.Text(), want) {
			t.Errorf("%s: the package comment begins otherwise than %q; separate a licence or note from the package clause by an empty line", f.path, want)
		}
	}
	for dir, paths := range commented {
		if len(paths) != 1 {
			t.Errorf("%s has package comments in %d files %v, want exactly one: put it into doc.go or the main file", dir, len(paths), paths)
		}
	}
}

// TestNoHiddenExits lets only main end the process: everybody else returns an error. A panic needs a comment beside it that
// says why it cannot happen.
func TestNoHiddenExits(t *testing.T) {
	for _, f := range sources(t) {
		if f.test() {
			continue
		}
		forbid := func(path string, names ...string) {
			f.calls(path, func(name string, call ast.Node) {
				if slices.Contains(names, name) && !f.main() {
					t.Errorf("%s: %s.%s: return an error up to main", f.line(call), path, name)
				}
			})
		}
		forbid("os", "Exit")
		forbid("log", "Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln")
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if fun, ok := call.Fun.(*ast.Ident); ok && fun.Name == "panic" && fun.Obj == nil && !f.commented(n) {
					t.Errorf("%s: panic: return an error, or say beside it why it cannot happen", f.line(n))
				}
			}
			return true
		})
	}
}

// TestNoSleep: outside of tests a wait is always on something, and ends with its context.
func TestNoSleep(t *testing.T) {
	for _, f := range sources(t) {
		if f.test() {
			continue
		}
		f.calls("time", func(name string, call ast.Node) {
			if name == "Sleep" {
				t.Errorf("%s: time.Sleep: wait for the event, or select on a timer and the context", f.line(call))
			}
		})
	}
}

func TestNoGlobals(t *testing.T) {
	globals := make(map[string]map[string]bool) // directory -> names of package-level variables
	for _, f := range sources(t) {
		if f.test() {
			continue
		}
		dir := filepath.Dir(f.path)
		if globals[dir] == nil {
			globals[dir] = make(map[string]bool)
		}
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Name.Name == "init" && fn.Recv == nil {
				t.Errorf("%s: init(): build it in a constructor that main calls", f.line(fn))
			}
			for name, spec := range packageVariables(decl) {
				globals[dir][name] = true
				if kind := mutableType(spec); kind != "" {
					t.Errorf("%s: package variable %s is a %s: make it a field of what a constructor returns", f.line(spec), name, kind)
				}
			}
		}
	}
	for _, f := range sources(t) {
		if !f.test() {
			assignments(f, globals[filepath.Dir(f.path)], func(name string, at ast.Node) {
				t.Errorf("%s: package variable %s is changed: make it a field of what a constructor returns", f.line(at), name)
			})
		}
	}
}

// packageVariables yields the names that a declaration at file level declares with var, blank ones excluded.
func packageVariables(decl ast.Decl) map[string]*ast.ValueSpec {
	vars := make(map[string]*ast.ValueSpec)
	gen, ok := decl.(*ast.GenDecl)
	if !ok || gen.Tok != token.VAR {
		return vars
	}
	for _, spec := range gen.Specs {
		value := spec.(*ast.ValueSpec)
		for _, name := range value.Names {
			if name.Name != "_" {
				vars[name.Name] = value
			}
		}
	}
	return vars
}

// mutableType names the type of a variable that only makes sense when it changes. A sync.Pool is let through: what it
// holds cannot be observed.
func mutableType(spec *ast.ValueSpec) string {
	sel, ok := spec.Type.(*ast.SelectorExpr)
	if !ok {
		if _, ok := spec.Type.(*ast.ChanType); ok {
			return "channel"
		}
		return ""
	}
	kind := fmt.Sprintf("%s.%s", sel.X, sel.Sel.Name)
	if kind == "sync.Pool" || !strings.HasPrefix(kind, "sync.") && !strings.HasPrefix(kind, "atomic.") {
		return ""
	}
	return kind
}

// assignments visits every place in f where one of names, as a package variable, is assigned to, indexed for writing,
// incremented or has its address taken.
func assignments(f goFile, names map[string]bool, visit func(name string, at ast.Node)) {
	check := func(target ast.Expr) {
		for {
			switch e := target.(type) {
			case *ast.IndexExpr:
				target = e.X
				continue
			case *ast.SelectorExpr:
				target = e.X
				continue
			case *ast.ParenExpr:
				target = e.X
				continue
			case *ast.Ident:
				if names[e.Name] && packageLevel(f, e) {
					visit(e.Name, e)
				}
			}
			return
		}
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch s := n.(type) {
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE {
				for _, target := range s.Lhs {
					check(target)
				}
			}
		case *ast.IncDecStmt:
			check(s.X)
		case *ast.CallExpr:
			if fun, ok := s.Fun.(*ast.Ident); ok && (fun.Name == "delete" || fun.Name == "clear") && len(s.Args) > 0 {
				check(s.Args[0])
			}
		}
		return true
	})
}

// packageLevel reports whether an identifier, where it stands, means the package's variable and not a local one.
func packageLevel(f goFile, id *ast.Ident) bool {
	return id.Obj == nil || f.ast.Scope.Lookup(id.Name) == id.Obj
}

func TestFunctionLength(t *testing.T) {
	lengths := make(map[string]int)
	for _, f := range sources(t) {
		if f.test() {
			continue
		}
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				if n := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1; n > functionLimit {
					lengths[f.path+" "+fn.Name.Name] = n
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lengths)) {
		if limit := max(longFunctions[name], functionLimit); lengths[name] > limit {
			t.Errorf("%s has %d lines, more than %d: name its steps and give each a function", name, lengths[name], limit)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(longFunctions)) {
		if lengths[name] < longFunctions[name] {
			t.Errorf("%s has become shorter than %d lines: lower its entry in longFunctions to %d, or take it out", name, longFunctions[name], lengths[name])
		}
	}
}
