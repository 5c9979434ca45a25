{{/* Nine tenths of the memory limit, in bytes: Go collects harder near it, and what is not Go's has room. Empty: no limit. */}}
{{- define "reaper.gomemlimit" -}}
{{- with ((.limits | default dict).memory) -}}
{{- $text := toString . -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "k" 1000 "M" 1000000 "G" 1000000000 "" 1 -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- if or (not (regexMatch "^[0-9]+([.][0-9]+)?[A-Za-z]*$" $text)) (not (hasKey $units $unit)) -}}
{{- fail (printf "resources.limits.memory: %s cannot be read; write it like 256Mi" $text) -}}
{{- end -}}
{{- mulf (float64 (trimSuffix $unit $text)) (get $units $unit) 0.9 | floor | int64 -}}
{{- end -}}
{{- end -}}

{{/* The environment that all of reaper's commands share. */}}
{{- define "reaper.env" -}}
{{- $root := .root -}}
{{- with $root.Values.database.existingSecret }}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $root.Values.database.key }}
{{- end }}
- name: REAPER_POLICY_FILE
  value: /etc/reaper/{{ if $root.Values.policy.file }}reaper.yaml{{ else }}{{ $root.Values.policy.key }}{{ end }}
- name: REAPER_LEDGER_SCHEMA
  value: {{ $root.Values.ledger.schema | quote }}
- name: REAPER_LEDGER_RETENTION
  value: {{ $root.Values.ledger.retention | quote }}
- name: REAPER_CONNECTIONS
  value: {{ $root.Values.connections | int64 | quote }}
- name: REAPER_LOG_LEVEL
  value: {{ $root.Values.logLevel }}
- name: REAPER_LOG_FORMAT
  value: {{ $root.Values.logFormat }}
{{- with include "reaper.gomemlimit" .resources }}
- name: GOMEMLIMIT
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The environment of what deletes. */}}
{{- define "reaper.runEnv" -}}
{{- if .root.Values.maxRate }}
- name: REAPER_MAX_RATE
  value: {{ .root.Values.maxRate | int64 | quote }}
{{- end }}
{{- if .maxDurationSeconds }}
- name: REAPER_MAX_DURATION
  value: {{ printf "%ds" (int64 .maxDurationSeconds) | quote }}
{{- end }}
- name: REAPER_VACUUM_TIME
  value: {{ .root.Values.vacuumTime | quote }}
- name: REAPER_GRACE
  value: {{ printf "%ds" (int64 .root.Values.graceSeconds) | quote }}
{{- with .root.Values.heartbeat.existingSecret }}
- name: REAPER_HEARTBEAT
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $.root.Values.heartbeat.key }}
{{- end }}
{{- with .root.Values.heartbeat.kind }}
- name: REAPER_HEARTBEAT_KIND
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The environment of what serves page and metrics. */}}
{{- define "reaper.serveEnv" -}}
- name: REAPER_LISTEN_ADDR
  value: ":8080"
- name: REAPER_SCHEDULE
  value: {{ .root.Values.schedule | quote }}
- name: REAPER_TIME_ZONE
  value: {{ .root.Values.timeZone | quote }}
- name: REAPER_SCAN_INTERVAL
  value: {{ .root.Values.scanInterval | quote }}
{{- end -}}

{{- define "reaper.podMeta" -}}
labels:
  {{- include "reaper.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or .root.Values.policy.file .root.Values.podAnnotations }}
annotations:
  {{- if .root.Values.policy.file }}
  checksum/policy: {{ sha256sum .root.Values.policy.file }}
  {{- end }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* A pod. It is given root, component, args, env (of this component, as text), resources, restartPolicy, and serves: that
it listens. */}}
{{- define "reaper.podSpec" -}}
{{- $v := .root.Values -}}
serviceAccountName: {{ include "reaper.serviceAccountName" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
restartPolicy: {{ .restartPolicy }}
terminationGracePeriodSeconds: {{ add $v.graceSeconds 10 }}
{{- with $v.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $v.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with $v.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $ends := ne .restartPolicy "Always" }}
{{- if or $v.initContainers (and $ends $v.extraContainers) }}
initContainers:
  {{- with $v.initContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- /* A pod ends when its containers have, and what runs beside reaper does not end by itself: but as a sidecar it is
  ended with reaper. */}}
  {{- if $ends }}
  {{- range $v.extraContainers }}
  - {{- merge (dict "restartPolicy" "Always") . | toYaml | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end }}
containers:
  - name: reaper
    image: {{ include "reaper.image" .root | quote }}
    imagePullPolicy: {{ $v.image.pullPolicy }}
    args:
      {{- toYaml .args | nindent 6 }}
    env:
      {{- include "reaper.env" . | trim | nindent 6 }}
      {{- with .env }}
      {{- . | trim | nindent 6 }}
      {{- end }}
      {{- with $v.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with $v.extraEnvFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- if .serves }}
    ports:
      - name: http
        containerPort: 8080
        protocol: TCP
    {{- with $v.startupProbe }}
    startupProbe:
      httpGet: {path: /healthz, port: http}
      {{- toYaml . | nindent 6 }}
    {{- end }}
    livenessProbe:
      httpGet: {path: /healthz, port: http}
      {{- toYaml $v.livenessProbe | nindent 6 }}
    readinessProbe:
      httpGet: {path: /readyz/process, port: http}
      {{- toYaml $v.readinessProbe | nindent 6 }}
    {{- end }}
    {{- with .resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $v.securityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    volumeMounts:
      - name: policy
        mountPath: /etc/reaper
        readOnly: true
      {{- with $v.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  {{- if not $ends }}
  {{- with $v.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- end }}
volumes:
  - name: policy
    {{- if $v.policy.existingSecret }}
    secret:
      secretName: {{ $v.policy.existingSecret }}
    {{- else }}
    configMap:
      name: {{ $v.policy.existingConfigMap | default (printf "%s-policy" (include "reaper.fullname" .root)) }}
    {{- end }}
  {{- with $v.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $v.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
