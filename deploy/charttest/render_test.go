package charttest_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/pod-security-admission/api"
	podsecurity "k8s.io/pod-security-admission/policy"

	"github.com/reaperdb/reaper/policy"
)

// switches turn on one optional object each; the mode that has it, "" is both.
var switches = []struct{ mode, set, makes string }{
	{"", "dashboard.enabled=true", "ConfigMap"},
	{"", "networkPolicy.enabled=true", "NetworkPolicy"},
	{"", "serviceAccount.create=true", "ServiceAccount"},
	{"serving", "serviceMonitor.enabled=true", "ServiceMonitor"},
	{"serving", "podMonitor.enabled=true", "PodMonitor"},
	{"serving", "prometheusRule.enabled=true", "PrometheusRule"},
	{"deployment", "deployment.podDisruptionBudget.enabled=true", "PodDisruptionBudget"},
	{"cronjob", "cronjob.observer.enabled=true", "Deployment"},
}

// matrix are the values that are rendered: the files of the chart's, and each mode
// with every optional object by itself, and with all of them.
func matrix() map[string]values {
	all := map[string]values{
		"deployment everything": {file: "deployment-everything"},
		"cronjob everything":    {file: "cronjob-everything"},
	}
	for _, mode := range []string{"deployment", "cronjob"} {
		var off, serving, everything []string
		off = append(off, "serviceAccount.create=false")
		if mode == "cronjob" {
			serving = append(serving, "cronjob.observer.enabled=true")
		}
		for _, s := range switches {
			set := append(slices.Clone(off), s.set)
			switch {
			case s.mode == "serving" || s.set == "dashboard.enabled=true":
				set = append(set, serving...)
			case s.mode != "" && s.mode != mode:
				continue
			}
			all[mode+" with "+s.set] = values{mode, set}
			if s.set != "podMonitor.enabled=true" {
				everything = append(everything, s.set)
			}
		}
		all[mode+" with nothing"] = values{mode, off}
		all[mode+" with all"] = values{mode, everything}
		for name, set := range map[string][]string{
			"its policy from a ConfigMap": {"policy.file=", "policy.existingConfigMap=policies"},
			"its policy from a Secret":    {"policy.file=", "policy.existingSecret=policies", "policy.key=emails.yaml", "networkPolicy.enabled=true"},
			"a heartbeat":                 {"heartbeat.existingSecret=beat", "networkPolicy.enabled=true"},
			"PG variables":                {"database.existingSecret=", "extraEnv[0].name=PGHOST", "extraEnv[0].value=db"},
			"no memory limit":             {"resources.limits=null"},
			"names of its own":            {"fullnameOverride=a-name-that-is-longer-than-what-a-cronjob-may-have-by-far"},
		} {
			all[mode+" with "+name] = values{mode, set}
		}
	}
	return all
}

// Whatever is turned on and off, every object is one that Kubernetes and the
// Prometheus operator take.
func TestMatrix(t *testing.T) {
	t.Parallel()
	for name, v := range matrix() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := render(t, v)
			names := map[string]bool{}
			for _, o := range objects {
				checkMeta(t, o)
				if key := o.kind + " " + o.meta.Name; names[key] {
					t.Errorf("%s is there twice", key)
				} else {
					names[key] = true
				}
			}
			checkSelectors(t, objects)
			checkPods(t, objects)
		})
	}
}

// An optional object is there when its switch is on, and not otherwise.
func TestSwitches(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"deployment", "cronjob"} {
		base := []string{"serviceAccount.create=false"}
		if mode == "cronjob" {
			base = append(base, "cronjob.observer.enabled=true")
		}
		without := count(render(t, values{mode, base}))
		for _, s := range switches {
			if s.mode != "" && s.mode != "serving" && s.mode != mode || s.set == "cronjob.observer.enabled=true" {
				continue
			}
			with := count(render(t, values{mode, append(slices.Clone(base), s.set)}))
			want := maps.Clone(without)
			want[s.makes]++
			if diff := cmp.Diff(want, with); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", mode, s.set, diff)
			}
		}
	}
	if diff := cmp.Diff(map[string]int{"ConfigMap": 1, "CronJob": 1, "Pod": 1, "ServiceAccount": 1}, count(render(t, values{file: "cronjob"}))); diff != "" {
		t.Errorf("the least of mode cronjob (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"ConfigMap": 1, "Deployment": 1, "Service": 1, "Pod": 1, "ServiceAccount": 1}, count(render(t, values{file: "deployment"}))); diff != "" {
		t.Errorf("the least of mode deployment (-want +got):\n%s", diff)
	}
}

func count(objects []object) map[string]int {
	n := map[string]int{}
	for _, o := range objects {
		n[o.kind]++
	}
	return n
}

// checkMeta holds names and labels against what the API server would.
func checkMeta(t *testing.T, o object) {
	t.Helper()
	problems := validation.IsDNS1123Subdomain(o.meta.Name)
	if o.kind == "CronJob" && len(o.meta.Name) > 52 || o.kind != "ConfigMap" && len(o.meta.Name) > 63 {
		problems = append(problems, "it is too long")
	}
	for key, value := range o.meta.Labels {
		problems = append(problems, validation.IsQualifiedName(key)...)
		problems = append(problems, validation.IsValidLabelValue(value)...)
	}
	for key := range o.meta.Annotations {
		problems = append(problems, validation.IsQualifiedName(strings.ToLower(key))...)
	}
	if len(problems) > 0 {
		t.Errorf("%s %s: %s", o.kind, o.meta.Name, strings.Join(problems, "; "))
	}
}

// checkSelectors holds that what selects pods selects those that are meant.
func checkSelectors(t *testing.T, objects []object) {
	t.Helper()
	all := pods(objects)
	selected := func(by string, selector map[string]string, want int) {
		t.Helper()
		n := 0
		for _, p := range all {
			if labels.SelectorFromSet(selector).Matches(labels.Set(p.Labels)) {
				n++
			}
		}
		if n != want {
			t.Errorf("%s selects %d kinds of pods, want %d: %v", by, n, want, selector)
		}
	}
	for _, o := range objects {
		switch it := o.it.(type) {
		case *apps.Deployment:
			selected("Deployment "+it.Name, it.Spec.Selector.MatchLabels, 1)
			if !labels.SelectorFromSet(it.Spec.Selector.MatchLabels).Matches(labels.Set(it.Spec.Template.Labels)) {
				t.Errorf("Deployment %s does not select its own pods", it.Name)
			}
		case *core.Service:
			selected("Service", it.Spec.Selector, 1)
			if port := it.Spec.Ports[0].TargetPort.String(); port != "http" {
				t.Errorf("the Service leads to the port %s", port)
			}
		case *policyv1.PodDisruptionBudget:
			selected("PodDisruptionBudget", it.Spec.Selector.MatchLabels, 1)
		case *monitoring.PodMonitor:
			selected("PodMonitor", it.Spec.Selector.MatchLabels, 1)
		case *networking.NetworkPolicy:
			selected("NetworkPolicy", it.Spec.PodSelector.MatchLabels, len(all))
		case *monitoring.ServiceMonitor:
			service := one[core.Service](t, objects, "")
			if !labels.SelectorFromSet(it.Spec.Selector.MatchLabels).Matches(labels.Set(service.Labels)) {
				t.Error("the ServiceMonitor does not select the Service")
			}
		}
	}
}

// checkPods holds every pod against the restricted pod security standard, and what
// the chart promises of all pods.
func checkPods(t *testing.T, objects []object) {
	t.Helper()
	evaluator, err := podsecurity.NewEvaluator(podsecurity.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for name, p := range pods(objects) {
		for _, r := range evaluator.EvaluatePod(restricted, &p.ObjectMeta, &p.Spec) {
			if !r.Allowed {
				t.Errorf("%s is not restricted: %s: %s", name, r.ForbiddenReason, r.ForbiddenDetail)
			}
		}
		c := p.Spec.Containers[0]
		if ro := c.SecurityContext.ReadOnlyRootFilesystem; ro == nil || !*ro {
			t.Errorf("%s has a root that can be written to", name)
		}
		if token := p.Spec.AutomountServiceAccountToken; token == nil || *token {
			t.Errorf("%s gets the ServiceAccount's token", name)
		}
		checkMounts(t, name, p.Spec)
		checkMemory(t, name, c)
		checkSecrets(t, name, c)
	}
}

// checkMounts holds that every mount has its volume, and that the policy file's
// path lies in one.
func checkMounts(t *testing.T, name string, spec core.PodSpec) {
	t.Helper()
	c := spec.Containers[0]
	for _, m := range c.VolumeMounts {
		if !slices.ContainsFunc(spec.Volumes, func(v core.Volume) bool { return v.Name == m.Name }) {
			t.Errorf("%s mounts %s, which is no volume", name, m.Name)
		}
	}
	file := variable(c, "REAPER_POLICY_FILE")
	if file == nil || !slices.ContainsFunc(c.VolumeMounts, func(m core.VolumeMount) bool { return m.MountPath == filepath.Dir(file.Value) }) {
		t.Errorf("%s has its policy file in no volume", name)
	}
}

// checkMemory holds that GOMEMLIMIT lies a little below the limit, where there is
// one.
func checkMemory(t *testing.T, name string, c core.Container) {
	t.Helper()
	limit, limited := c.Resources.Limits[core.ResourceMemory]
	set := variable(c, "GOMEMLIMIT")
	if limited != (set != nil) {
		t.Errorf("%s: memory limit %s, GOMEMLIMIT %v", name, limit.String(), set)
	} else if limited {
		if want := fmt.Sprint(limit.Value() / 10 * 9); len(set.Value) != len(want) || set.Value[:3] != want[:3] {
			t.Errorf("%s: GOMEMLIMIT %s of a limit of %d", name, set.Value, limit.Value())
		}
	}
}

// checkSecrets holds that no secret stands in a pod in clear.
func checkSecrets(t *testing.T, name string, c core.Container) {
	t.Helper()
	for _, e := range c.Env {
		if e.Name == "DATABASE_URL" || e.Name == "REAPER_HEARTBEAT" {
			if e.Value != "" || e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil {
				t.Errorf("%s has %s in clear", name, e.Name)
			}
		}
	}
}

func variable(c core.Container, name string) *core.EnvVar {
	for _, e := range c.Env {
		if e.Name == name {
			return &e
		}
	}
	return nil
}

func TestCronJob(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]batch.CronJobSpec{
		"cronjob": {
			Schedule: "0 */6 * * *", TimeZone: new("UTC"), Suspend: new(false), StartingDeadlineSeconds: new(int64(3600)),
			SuccessfulJobsHistoryLimit: new(int32(3)), FailedJobsHistoryLimit: new(int32(5)),
			JobTemplate: batch.JobTemplateSpec{Spec: batch.JobSpec{ActiveDeadlineSeconds: new(int64(18600))}},
		},
		"cronjob-everything": {
			Schedule: "15 2 * * *", TimeZone: new("Europe/Paris"), Suspend: new(true), StartingDeadlineSeconds: new(int64(900)),
			SuccessfulJobsHistoryLimit: new(int32(0)), FailedJobsHistoryLimit: new(int32(1)),
			JobTemplate: batch.JobTemplateSpec{Spec: batch.JobSpec{ActiveDeadlineSeconds: new(int64(9000)), TTLSecondsAfterFinished: new(int32(86400))}},
		},
	} {
		got := one[batch.CronJob](t, render(t, values{file: file}), "").Spec
		pod := got.JobTemplate.Spec.Template.Spec
		if pod.RestartPolicy != core.RestartPolicyNever {
			t.Errorf("%s: restartPolicy %s", file, pod.RestartPolicy)
		}
		if schedule, err := policy.ParseSchedule(got.Schedule, nil); err != nil {
			t.Errorf("%s: reaper does not read the schedule %v: %v", file, schedule, err)
		}
		want.ConcurrencyPolicy = batch.ForbidConcurrent
		want.JobTemplate.Spec.BackoffLimit = new(int32(0))
		want.JobTemplate.Spec.PodFailurePolicy = &batch.PodFailurePolicy{Rules: []batch.PodFailurePolicyRule{{
			Action:          batch.PodFailurePolicyActionIgnore,
			OnPodConditions: []batch.PodFailurePolicyOnPodConditionsPattern{{Type: core.DisruptionTarget, Status: core.ConditionTrue}},
		}}}
		got.JobTemplate.ObjectMeta, got.JobTemplate.Spec.Template = meta.ObjectMeta{}, core.PodTemplateSpec{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

// The policy file arrives as it was written.
func TestPolicyFile(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(repository + "/examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	odd := filepath.Join(t.TempDir(), "odd.yaml")
	if err := os.WriteFile(odd, []byte("\n    # an indented comment first\n\nversion: 1\npolicies:\n  - {name: a, table: \"{{ .Release.Name }}\", age: at, tenant: none, retention: 1d}\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, odd) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out := must(t, "", tool(t, "helm"), append(values{file: "deployment"}.args(), "--set-file", "policy.file="+file)...)
		got := one[core.ConfigMap](t, decode(t, values{}, out), "-policy").Data["reaper.yaml"]
		if diff := cmp.Diff(strings.TrimRight(string(text), "\n"), strings.TrimRight(got, "\n")); diff != "" {
			t.Errorf("%s (-written +arrived):\n%s", file, diff)
		}
	}
}

// A changed policy file is a changed pod; a changed Secret is the person's affair.
func TestChecksum(t *testing.T) {
	t.Parallel()
	sum := func(set ...string) string {
		return one[apps.Deployment](t, render(t, values{"deployment", set}), "").Spec.Template.Annotations["checksum/policy"]
	}
	a, b := sum(), sum("policy.file=version: 1\npolicies: []")
	if a == "" || b == "" || a == b {
		t.Errorf("checksums %q and %q", a, b)
	}
	if c := sum("policy.file=", "policy.existingSecret=policies"); c != "" {
		t.Errorf("a checksum %q of what the chart does not know", c)
	}
}
