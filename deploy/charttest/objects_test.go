package charttest_test

import (
	"regexp"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// object is one that the chart renders, as the type that Kubernetes or the
// Prometheus operator has for it.
type object struct {
	kind string
	meta *meta.ObjectMeta
	it   any
}

// kinds are all that the chart can make.
var kinds = map[string]func() object{
	"v1 ConfigMap":                            func() object { o := &core.ConfigMap{}; return object{"", &o.ObjectMeta, o} },
	"v1 Pod":                                  func() object { o := &core.Pod{}; return object{"", &o.ObjectMeta, o} },
	"v1 Service":                              func() object { o := &core.Service{}; return object{"", &o.ObjectMeta, o} },
	"v1 ServiceAccount":                       func() object { o := &core.ServiceAccount{}; return object{"", &o.ObjectMeta, o} },
	"apps/v1 Deployment":                      func() object { o := &apps.Deployment{}; return object{"", &o.ObjectMeta, o} },
	"batch/v1 CronJob":                        func() object { o := &batch.CronJob{}; return object{"", &o.ObjectMeta, o} },
	"policy/v1 PodDisruptionBudget":           func() object { o := &policyv1.PodDisruptionBudget{}; return object{"", &o.ObjectMeta, o} },
	"networking.k8s.io/v1 NetworkPolicy":      func() object { o := &networking.NetworkPolicy{}; return object{"", &o.ObjectMeta, o} },
	"monitoring.coreos.com/v1 ServiceMonitor": func() object { o := &monitoring.ServiceMonitor{}; return object{"", &o.ObjectMeta, o} },
	"monitoring.coreos.com/v1 PodMonitor":     func() object { o := &monitoring.PodMonitor{}; return object{"", &o.ObjectMeta, o} },
	"monitoring.coreos.com/v1 PrometheusRule": func() object { o := &monitoring.PrometheusRule{}; return object{"", &o.ObjectMeta, o} },
}

var separator = regexp.MustCompile(`(?m)^---$`)

// decode reads what helm printed. A field that its type does not have, or one
// that is there twice, is an error.
func decode(t testing.TB, v values, text string) []object {
	t.Helper()
	var all []object
	for _, document := range separator.Split(text, -1) {
		if strings.TrimSpace(document) == "" {
			continue
		}
		var head meta.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			t.Fatalf("%s: %v\n%s", v, err, document)
		}
		if head.Kind == "" { // comments alone
			continue
		}
		empty, ok := kinds[head.APIVersion+" "+head.Kind]
		if !ok {
			t.Fatalf("%s: an unexpected %s %s", v, head.APIVersion, head.Kind)
		}
		o := empty()
		if err := yaml.UnmarshalStrict([]byte(document), o.it); err != nil {
			t.Fatalf("%s: %s: %v\n%s", v, head.Kind, err, document)
		}
		o.kind = head.Kind
		all = append(all, o)
	}
	return all
}

// one gives the object of a type whose name ends so.
func one[T any](t testing.TB, objects []object, suffix string) *T {
	t.Helper()
	for _, o := range objects {
		if it, ok := o.it.(*T); ok && strings.HasSuffix(o.meta.Name, suffix) {
			return it
		}
	}
	t.Fatalf("no %T named …%s", new(T), suffix)
	return nil
}

// pods gives all pods that the objects lead to, by what makes them.
func pods(objects []object) map[string]core.PodTemplateSpec {
	all := map[string]core.PodTemplateSpec{}
	for _, o := range objects {
		switch it := o.it.(type) {
		case *apps.Deployment:
			all["Deployment "+it.Name] = it.Spec.Template
		case *batch.CronJob:
			all["CronJob "+it.Name] = it.Spec.JobTemplate.Spec.Template
		case *core.Pod:
			all["Pod "+it.Name] = core.PodTemplateSpec{ObjectMeta: it.ObjectMeta, Spec: it.Spec}
		}
	}
	return all
}
