package main

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/reaperdb/reaper/plan"
)

// deepestCall limits how deep the evaluation of an expression follows calls.
const deepestCall = 24

// eval returns the texts that an expression may have, with holes.
func (s *fixSources) eval(e ast.Expr, in fixScope) []string {
	if in.depth > deepestCall {
		return []string{hole}
	}
	in.depth++
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return []string{text}
		}
	case *ast.ParenExpr:
		return s.eval(e.X, in)
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return crossPatterns(s.eval(e.X, in), s.eval(e.Y, in))
		}
	case *ast.Ident:
		return s.variable(e.Name, in)
	case *ast.CallExpr:
		return s.call(e, 0, in)
	}
	return []string{hole}
}

func crossPatterns(left, right []string) (all []string) {
	for _, l := range left {
		for _, r := range right {
			all = append(all, strings.ReplaceAll(l+r, hole+hole, hole))
		}
	}
	return distinctPatterns(all)
}

func distinctPatterns(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

// variable returns the values of a name: a parameter, a constant, or what the function assigns to
// it.
func (s *fixSources) variable(name string, in fixScope) (all []string) {
	if bound, ok := in.bound[name]; ok {
		return bound
	}
	if i := slices.Index(in.params, name); i >= 0 {
		return s.arguments(i, in)
	}
	more := false
	s.inspect(in.fixFunc, func(n ast.Node) {
		switch n := n.(type) {
		case *ast.AssignStmt:
			i := slices.IndexFunc(n.Lhs, func(l ast.Expr) bool { return fixTypeName(l) == name })
			switch {
			case i < 0:
			case n.Tok == token.ADD_ASSIGN:
				more = true
			case len(n.Lhs) == len(n.Rhs):
				all = append(all, s.eval(n.Rhs[i], in)...)
			default:
				if c, ok := n.Rhs[0].(*ast.CallExpr); ok {
					all = append(all, s.call(c, i, in)...)
				}
			}
		case *ast.ValueSpec:
			for i, v := range n.Values {
				if n.Names[i].Name == name {
					all = append(all, s.eval(v, in)...)
				}
			}
		}
	})
	switch {
	case len(all) == 0 && s.consts[name] != nil:
		return s.eval(s.consts[name], in)
	case len(all) == 0:
		return []string{hole}
	case more:
		all = append(all, crossPatterns(all, []string{hole})...)
	}
	return distinctPatterns(all)
}

// arguments returns what the callers of a function pass for a parameter.
func (s *fixSources) arguments(parameter int, in fixScope) (all []string) {
	for name, funcs := range s.funcs {
		if !slices.Contains(funcs, in.fixFunc) {
			continue
		}
		for _, c := range s.calls[name] {
			if parameter < len(c.call.Args) {
				all = append(all, s.eval(c.call.Args[parameter], fixScope{fixFunc: c.from, depth: in.depth})...)
			}
		}
	}
	if len(all) == 0 {
		return []string{hole}
	}
	return distinctPatterns(all)
}

var formatVerb = regexp.MustCompile(`%(\[\d+\])?[-+# 0-9.]*[a-zA-Z]`)

// call returns one result of a call: of fmt.Sprintf, visible.Text, or a function of the package.
func (s *fixSources) call(c *ast.CallExpr, result int, in fixScope) (all []string) {
	name := fixCallee(c)
	switch name {
	case "Sprintf":
		for _, format := range s.eval(c.Args[0], in) {
			all = append(all, strings.ReplaceAll(formatVerb.ReplaceAllString(format, hole), hole+hole, hole))
		}
		return distinctPatterns(all)
	case "Text":
		if len(c.Args) == 1 {
			return s.eval(c.Args[0], in)
		}
	}
	for _, f := range s.funcs[name] {
		if len(s.funcs[name]) > 1 || name == "String" {
			break // which of them it is takes types
		}
		if len(f.params) != len(c.Args) || result >= len(f.results) || f.results[result] != "string" {
			continue
		}
		inner := fixScope{fixFunc: f, bound: map[string][]string{}, depth: in.depth}
		for i, p := range f.params {
			inner.bound[p] = s.eval(c.Args[i], in)
		}
		s.inspect(f, func(n ast.Node) {
			if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) == len(f.results) {
				all = append(all, s.eval(r.Results[result], inner)...)
			}
		})
	}
	if len(all) == 0 {
		return []string{hole}
	}
	return distinctPatterns(all)
}

// madeIt reports whether a problem and its fix can come from the site.
func (s fixSite) madeIt(p plan.Problem) bool {
	return fitsPattern(s.fix, p.Fix) && slices.ContainsFunc(s.texts, func(text string) bool { return fitsPattern(text, p.Text) })
}

// fitsPattern reports whether a text can be one of a pattern.
func fitsPattern(pattern, text string) bool {
	parts := strings.Split(pattern, hole)
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return regexp.MustCompile(`^(?s:` + strings.Join(parts, `.*`) + `)$`).MatchString(text)
}
