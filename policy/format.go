package policy

import "strings"

// String formats the step as the policy file does, before YAML quoting.
func (s Step) String() string {
	if !s.Table.IsSet() {
		return QuoteName(s.Column)
	}
	return QuoteName(s.Column) + " -> " + s.Table.String() + "." + QuoteName(s.ToColumn)
}

// YAML formats the path as the value of `tenant:` on one line. It returns "" for a path
// without steps that is not `none`.
func (p Path) YAML() string {
	switch {
	case p.None:
		return "none"
	case len(p.Steps) == 0:
		return ""
	}
	steps := make([]string, len(p.Steps))
	for i, s := range p.Steps {
		steps[i] = YAMLScalar(s.String())
	}
	return "[" + strings.Join(steps, ", ") + "]"
}
