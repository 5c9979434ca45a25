package charttest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Wrong values are refused, with words that say where and what.
func TestRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values values
		says   []string
	}{
		"an unknown mode":                  {values{"deployment", []string{"mode=daemon"}}, []string{"'/mode'", "'deployment', 'cronjob'"}},
		"a registry twice":                 {values{"deployment", []string{"image.repository=registry.example.com/reaper"}}, []string{"registry.example.com/reaper, has a registry of its own", "image.registry"}},
		"a namespace that is none":         {values{"deployment", []string{"namespaceOverride=A_B"}}, []string{"'/namespaceOverride'"}},
		"an unknown family of addresses":   {values{"deployment", []string{"service.ipFamilies={IPv5}"}}, []string{"'/service/ipFamilies/0'"}},
		"a container without an image":     {values{"cronjob", []string{"extraContainers[0].name=proxy"}}, []string{"'/extraContainers/0'", "image"}},
		"a second container called reaper": {values{"deployment", []string{"extraContainers[0].name=reaper", "extraContainers[0].image=a"}}, []string{"'/extraContainers/0/name'"}},
		"an unknown value":                 {values{"deployment", []string{"connection=2"}}, []string{"additional properties 'connection' not allowed"}},
		"an unknown value further down":    {values{"cronjob", []string{"cronjob.restartPolicy=Always"}}, []string{"'/cronjob'", "'restartPolicy' not allowed"}},
		"a CronJob's setting of a daemon":  {values{"deployment", []string{"cronjob.suspend=false"}}, []string{"'/cronjob'", "'suspend' not allowed"}},
		"a daemon's setting of a CronJob":  {values{"cronjob", []string{"deployment.replicas=1"}}, []string{"'/deployment'", "'replicas' not allowed"}},
		"a number as text":                 {values{"deployment", []string{"connections=many"}}, []string{"'/connections'", "got string, want integer"}},
		"a schedule that is none":          {values{"deployment", []string{"schedule=daily"}}, []string{"'/schedule'", "does not match"}},
		"a time zone within the schedule":  {values{"cronjob", []string{"schedule=TZ=UTC 0 0 * * *"}}, []string{"'/schedule'"}},
		"a password in clear":              {values{"deployment", []string{"extraEnv[0].name=PGPASSWORD", "extraEnv[0].value=secret"}}, []string{"'/extraEnv/0'", "missing property 'valueFrom'"}},
		"a duration without a unit":        {values{"deployment", []string{"ledger.retention=400"}}, []string{"'/ledger/retention'"}},
		"no database":                      {values{"deployment", []string{"database.existingSecret="}}, []string{"database.existingSecret is empty", "PG* variables"}},
		"no policy file":                   {values{"deployment", []string{"policy.file="}}, []string{"--set-file policy.file=reaper.yaml"}},
		"two policy files":                 {values{"deployment", []string{"policy.existingSecret=policies"}}, []string{"policy: set one of"}},
		"a policy file that is no YAML":    {values{"deployment", []string{"policy.file=a: b: c"}}, []string{"policy.file is no YAML"}},
		"a policy file that is another":    {values{"deployment", []string{"policy.file=services: {}"}}, []string{"policy.file is no policy file"}},
		"the name of a policy file":        {values{"deployment", []string{"policy.file=reaper.yaml"}}, []string{"policy.file"}},
		"monitors without an observer":     {values{"cronjob", []string{"podMonitor.enabled=true"}}, []string{"podMonitor.enabled", "cronjob.observer.enabled"}},
		"alerts without an observer":       {values{"cronjob", []string{"prometheusRule.enabled=true"}}, []string{"prometheusRule.enabled", "cronjob.observer.enabled"}},
		"two monitors":                     {values{"deployment", []string{"podMonitor.enabled=true", "serviceMonitor.enabled=true"}}, []string{"choose one"}},
		"a deadline that kills runs":       {values{"cronjob", []string{"cronjob.activeDeadlineSeconds=600", "cronjob.maxDurationSeconds=600"}}, []string{"cronjob.activeDeadlineSeconds is 600", "make the first longer"}},
		"a memory limit that is none":      {values{"deployment", []string{"resources.limits.memory=lots"}}, []string{"resources.limits.memory: lots", "256Mi"}},
		"an alert that there is not":       {values{"deployment", []string{"prometheusRule.enabled=true", "prometheusRule.disabled={ReaperGone}"}}, []string{"there is no alert ReaperGone", "ReaperLagHigh"}},
		"a change of what is not there":    {values{"deployment", []string{"prometheusRule.enabled=true", "prometheusRule.overrides.ReaperGone.for=1h"}}, []string{"there is no alert ReaperGone"}},
		"a digest that is a tag":           {values{"deployment", []string{"image.digest=v1"}}, []string{"'/image/digest'"}},
		"half a disruption budget":         {values{"deployment", []string{"deployment.podDisruptionBudget.minAvailable=1"}}, []string{"missing property 'enabled'"}},
		"a selector that is no selector":   {values{"deployment", []string{`prometheusRule.selector=reaper`}}, []string{"'/prometheusRule/selector'"}},
		"a Secret's name with capitals":    {values{"deployment", []string{"database.existingSecret=Reaper"}}, []string{"'/database/existingSecret'"}},
		"no time to end":                   {values{"deployment", []string{"graceSeconds=0"}}, []string{"'/graceSeconds'"}},
		"more connections than reaper has": {values{"deployment", []string{"connections=65"}}, []string{"'/connections'", "maximum"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, c.values.args(), c.says...)
		})
	}
}

// What a policy file says that does not fit the mode, or must not stand in a
// ConfigMap, is refused by the policy's name. No secret is repeated.
func TestRefuses_PolicyFile(t *testing.T) {
	t.Parallel()
	for more, c := range map[string]struct {
		mode string
		says []string
	}{
		"heartbeat: https://hc.example/ping/secret": {"deployment", []string{"the policy emails has a heartbeat", "policy.existingSecret"}},
		"schedule: '@daily'":                        {"cronjob", []string{"the policy emails has a schedule", "mode deployment"}},
	} {
		file := filepath.Join(t.TempDir(), "reaper.yaml")
		text := "version: 1\npolicies:\n  - {name: emails, table: emails, age: at, tenant: none, retention: 1d, " + more + "}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, append(values{file: c.mode}.args(), "--set-file", "policy.file="+file), c.says...)
	}
}

func refused(t *testing.T, args []string, says ...string) {
	t.Helper()
	out, errs, err := output(t, "", tool(t, "helm"), args...)
	if err == nil {
		t.Fatalf("it is taken:\n%s", out)
	}
	for _, want := range says {
		if !strings.Contains(errs, want) {
			t.Errorf("it does not say %q:\n%s", want, errs)
		}
	}
	if strings.Contains(errs, "secret\"") || strings.Contains(errs, "ping/secret") {
		t.Errorf("it repeats a secret:\n%s", errs)
	}
}
