package policy_test

import (
	"slices"
	"testing"

	"github.com/reaperdb/reaper/policy"
)

const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

// inArchive is a file whose line 2 is the section.
func inArchive(section string) string {
	return "version: 1\narchive: " + section + "\n" + tail + "  tenant: none\n  retention: 1d\n  archive: true\n"
}

var archiveMistakes = []mistake{
	{file: inArchive("{encryption: none, keep: 30d}"), at: "2:10", words: "no url", shape: true},
	{file: inArchive("{url: 'file:///a', keep: 30d}"), at: "2:10", words: "no encryption", shape: true},
	{file: inArchive("{url: 'file:///a', encryption: none}"), at: "2:10", words: "no keep", shape: true},
	{file: inArchive("{url: 'file:///a', encryption: off, keep: 30d}"), at: "2:41", words: "none|recipients", shape: true},
	{file: inArchive("{url: 'file:///a', encryption: {recipients: []}, keep: 30d}"), at: "2:54", words: "empty list", shape: true},
	{file: inArchive("{url: 'file:///a', encryption: {recipients: [ssh-ed25519 " + secret + "]}, keep: 30d}"), at: "2:55", words: "public key of age|age1", shape: true},
	{file: inArchive("{url: 'file:///a', encryption: {recipients: [age1" + secret + "]}, keep: 30d}"), at: "2:55", words: "public key of age"},
	{file: inArchive("{url: 'file:///a', encryption: {recipients: [AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX]}, keep: 30d}"), at: "2:55", words: "secret key", shape: true},
	{file: inArchive("{url: 'file:///a', encryption: none, keep: 0d}"), at: "2:53", words: "keep is zero|forever"},
	{file: inArchive("{url: 'file:///a', encryption: none, keep: 30}"), at: "2:53", words: "no unit", shape: true},
	{file: inArchive("{url: 'ftp://a', encryption: none, keep: 30d}"), at: "2:16", words: "s3://|file://", shape: true},
	{file: inArchive("{url: 'file://a/b', encryption: none, keep: 30d}"), at: "2:16", words: "three slashes"},
	{file: inArchive("{url: 's3://ann:" + secret + "@bucket/prefix', encryption: none, keep: 30d}"), at: "2:16", words: "credentials|AWS_ACCESS_KEY_ID"},
	{file: inArchive("{url: 's3://bucket?secret=" + secret + "', encryption: none, keep: 30d}"), at: "2:16", words: "endpoint, region, path_style"},
	{file: inArchive("{url: 's3://bucket?endpoint=https://ann:" + secret + "@host', encryption: none, keep: 30d}"), at: "2:16", words: "credentials"},
	{file: inArchive("{url: 's3://bucket?endpoint=minio', encryption: none, keep: 30d}"), at: "2:16", words: "endpoint|https://"},
	{file: inArchive("{url: 's3://bucket?path_style=1', encryption: none, keep: 30d}"), at: "2:16", words: "path_style|true"},
	{file: inArchive("{url: 's3:///prefix', encryption: none, keep: 30d}"), at: "2:16", words: "bucket"},
	{file: inArchive("{url: 'file:///a', encryption: none, keep: 30d, verify: sometimes}"), at: "2:66", words: "verify|five fields"},
	{file: inArchive("{url: 'file:///a', encryption: none, keep: 30d, verify: {sample: 5%}}"), at: "2:66", words: "no schedule", shape: true},
	{file: inArchive("{url: 'file:///a', encryption: none, keep: 30d, verify: {schedule: weekly, sample: 0%}}"), at: "2:93", words: "percentage", shape: true},
	{file: inArchive("{url: 'file:///a', encryption: {recipients: [" + recipient + "]}, keep: 30d, verify: weekly}"), at: "2:140", words: "identity|archive verify"},
	{file: inNone("archive: on"), at: "7:12", words: "true or false", shape: true},
	{file: inNone("retention: 1d\n  archive: true"), at: "3:3", words: "policy a|section archive"},
}

func TestArchive(t *testing.T) {
	t.Parallel()
	f, err := policy.Parse("reaper.yaml", []byte(inArchive("{url: 's3://bucket/prefix?endpoint=http://127.0.0.1:7070&region=eu-1&path_style=true', encryption: {recipients: ["+recipient+"]}, keep: 1mo}")))
	if err != nil {
		t.Fatal(err)
	}
	if a := f.Archive; !slices.Equal(a.Recipients, []string{recipient}) || a.Keep.Months != 1 || !f.Policies[0].Archive {
		t.Errorf("archive %+v, policy %+v", a, f.Policies[0])
	}
	if f.Archive.Verify != nil {
		t.Errorf("verify is %+v", f.Archive.Verify)
	}
	if len(f.Warnings) != 0 {
		t.Errorf("warnings: %+v", f.Warnings)
	}
	for text, want := range map[string]policy.Verify{
		"weekly":      {Schedule: policy.Text{Value: "@weekly"}, Share: 0.05},
		"'0 3 * * 0'": {Schedule: policy.Text{Value: "0 3 * * 0"}, Share: 0.05},
		"{schedule: daily, sample: 20%, load: true, identity: /run/age}": {Schedule: policy.Text{Value: "@daily"}, Share: 0.2, Load: true, Identity: "/run/age"},
	} {
		f, err := policy.Parse("reaper.yaml", []byte(inArchive("{url: 'file:///a', encryption: none, keep: 1mo, verify: "+text+"}")))
		if err != nil {
			t.Fatal(err)
		}
		got := *f.Archive.Verify
		got.Pos, got.Schedule.Pos = policy.Pos{}, policy.Pos{}
		if got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	if f, err = policy.Parse("reaper.yaml", []byte("version: 1\narchive: {url: 'file:///a', encryption: none, keep: forever}\n"+tail+"  tenant: none\n  retention: 1d\n")); err != nil {
		t.Fatal(err)
	}
	if f.Policies[0].Archive || len(f.Warnings) != 1 {
		t.Errorf("not archived: %+v, warnings %+v", f.Policies[0], f.Warnings)
	}
}
