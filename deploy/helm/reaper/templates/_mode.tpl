{{/* The defaults of each mode's section. They are here and not in values.yaml, so that what somebody writes into the
section of the other mode is seen, and refused. What is set counts, 0 and false too, which merge would overwrite. */}}
{{- define "reaper.default" -}}
{{- $section := deepCopy (index . 0) -}}
{{- range $key, $value := index . 1 -}}
{{- if not (hasKey $section $key) -}}{{- $_ := set $section $key $value -}}{{- end -}}
{{- end -}}
{{- toYaml $section -}}
{{- end -}}

{{- define "reaper.deployment" -}}
{{- $defaults := dict "replicas" 1 "jitter" "1m" "maxDurationSeconds" 0 "revisionHistoryLimit" 3 "podDisruptionBudget" (dict "enabled" false) -}}
{{- include "reaper.default" (list .Values.deployment $defaults) -}}
{{- end -}}

{{- define "reaper.cronjob" -}}
{{- $defaults := dict "suspend" false "startingDeadlineSeconds" 3600 "maxDurationSeconds" 18000
      "successfulJobsHistoryLimit" 3 "failedJobsHistoryLimit" 5 "observer" (dict "enabled" false) -}}
{{- $c := include "reaper.default" (list .Values.cronjob $defaults) | fromYaml -}}
{{/* A run that its own deadline has stopped needs time to end its batch, to write down its end and to tell the monitor. */}}
{{- if not (hasKey $c "activeDeadlineSeconds") -}}
{{- $_ := set $c "activeDeadlineSeconds" (add $c.maxDurationSeconds 600) -}}
{{- end -}}
{{- toYaml $c -}}
{{- end -}}

{{/* What the schema cannot say, or not so that it helps. */}}
{{- define "reaper.validate" -}}
{{- $sources := 0 -}}
{{- range (list .Values.policy.file .Values.policy.existingConfigMap .Values.policy.existingSecret) -}}
{{- if . -}}{{- $sources = add1 $sources -}}{{- end -}}
{{- end -}}
{{- if ne (int $sources) 1 -}}
{{- fail "policy: set one of policy.file (--set-file policy.file=reaper.yaml), policy.existingConfigMap and policy.existingSecret" -}}
{{- end -}}
{{- if .Values.policy.file -}}
{{- $file := fromYaml .Values.policy.file -}}
{{- if hasKey $file "Error" -}}
{{- fail (printf "policy.file is no YAML: %s" $file.Error) -}}
{{- end -}}
{{- $policies := get $file "policies" -}}
{{- if or (not (kindIs "slice" $policies)) (not (hasKey $file "version")) -}}
{{- fail "policy.file is no policy file: it has no version, or no list of policies. Give it whole: --set-file policy.file=reaper.yaml" -}}
{{- end -}}
{{- range $policies -}}
{{- if and (kindIs "map" .) (hasKey . "heartbeat") -}}
{{- fail (printf "policy.file: the policy %s has a heartbeat, whose URL is a secret. Put the file into a Secret and name it in policy.existingSecret, or the one monitor of all policies in heartbeat.existingSecret" .name) -}}
{{- end -}}
{{- if and (kindIs "map" .) (hasKey . "schedule") (eq $.Values.mode "cronjob") -}}
{{- fail (printf "policy.file: the policy %s has a schedule, and with mode cronjob all policies run by the chart's schedule. Take it out of the file, or use mode deployment" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not .Values.database.existingSecret -}}
{{- $named := false -}}
{{- range .Values.extraEnv -}}
{{- if hasPrefix "PG" .name -}}{{- $named = true -}}{{- end -}}
{{- end -}}
{{- if not (or $named .Values.extraEnvFrom) -}}
{{- fail "database.existingSecret is empty: name the Secret that has the database's address, or set libpq's PG* variables in extraEnv or extraEnvFrom" -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.mode "cronjob" -}}
{{- $c := include "reaper.cronjob" . | fromYaml -}}
{{- if le (int $c.activeDeadlineSeconds) (int $c.maxDurationSeconds) -}}
{{- fail (printf "cronjob.activeDeadlineSeconds is %d, and a run may take cronjob.maxDurationSeconds, %d: make the first longer, or Kubernetes kills runs before they end by themselves" (int $c.activeDeadlineSeconds) (int $c.maxDurationSeconds)) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.image.registry (regexMatch "^([^/]*[.:][^/]*|localhost)/" .Values.image.repository) -}}
{{- fail (printf "image.repository, %s, has a registry of its own: put it into image.registry, or set that to \"\"" .Values.image.repository) -}}
{{- end -}}
{{- if and .Values.extraContainers (semverCompare "<1.29-0" .Capabilities.KubeVersion.Version) -}}
{{- fail "extraContainers needs Kubernetes 1.29: before, a Job, and the pod of helm test, does not end while another of its containers runs" -}}
{{- end -}}
{{- if not (include "reaper.serving" .) -}}
{{- range (list "serviceMonitor" "podMonitor" "prometheusRule" "dashboard") -}}
{{- if (get $.Values .).enabled -}}
{{- fail (printf "%s.enabled needs something that serves metrics: with mode cronjob set cronjob.observer.enabled too" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{- fail "serviceMonitor.enabled and podMonitor.enabled: choose one, or everything is scraped twice" -}}
{{- end -}}
{{- end -}}
