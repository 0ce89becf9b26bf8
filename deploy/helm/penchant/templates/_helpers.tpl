{{- /* What several manifests have in common. */ -}}
{{- define "penchant.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "penchant.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "penchant.labels" -}}
{{ include "penchant.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "penchant.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- /* Every pod: nobody special, and nothing of the cluster's in it. */ -}}
{{- define "penchant.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "penchant.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{- define "penchant.secret" -}}
name: secrets
secret:
  secretName: {{ .Values.database.secretName }}
  items:
    - { key: {{ .Values.database.key | quote }}, path: penchant_database_url }
{{- end }}

{{- /* A job by the clock: `command` of penchant, with `job` of the values. */ -}}
{{- define "penchant.cronjob" -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ include "penchant.name" .root }}-{{ .command }}
  labels: {{ include "penchant.labels" .root | nindent 4 }}
spec:
  schedule: {{ .job.schedule | quote }}
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 3600
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      # Again only by hand: it has said in its log why it failed.
      backoffLimit: 0
      template:
        metadata:
          labels: {{ include "penchant.labels" .root | nindent 12 }}
            app.kubernetes.io/component: {{ .command }}
        spec: {{ include "penchant.pod" .root | nindent 10 }}
          serviceAccountName: {{ include "penchant.name" .root }}
          restartPolicy: Never
          containers:
            - name: {{ .command }}
              {{- include "penchant.image" .root | nindent 14 }}
              args: {{ concat (list .command) .job.arguments | toJson }}
              env: {{ include "penchant.environment" .root | nindent 16 }}
              {{- include "penchant.container" .root | nindent 14 }}
              resources: {{ toYaml .job.resources | nindent 16 }}
              volumeMounts: {{ include "penchant.mounts" .root | nindent 16 }}
                - { name: artifacts, mountPath: /var/lib/penchant }
          volumes: {{ include "penchant.volumes" .root | nindent 12 }}
{{- end }}

{{- define "penchant.environment" -}}
- { name: PENCHANT_CONFIG, value: /etc/penchant/penchant.toml }
- { name: PENCHANT_SECRETS, value: /etc/penchant/secrets }
{{- end }}

{{- define "penchant.mounts" -}}
- { name: settings, mountPath: /etc/penchant/penchant.toml, subPath: penchant.toml, readOnly: true }
- { name: secrets, mountPath: /etc/penchant/secrets, readOnly: true }
- { name: cache, mountPath: /home/penchant/.cache }
- { name: tmp, mountPath: /tmp }
{{- end }}

{{- define "penchant.volumes" -}}
- name: settings
  configMap:
    name: {{ include "penchant.name" . }}
- {{- include "penchant.secret" . | nindent 2 }}
- name: artifacts
  persistentVolumeClaim:
    claimName: {{ .Values.artifacts.existingClaim | default (include "penchant.name" .) }}
- { name: cache, emptyDir: {} }
- { name: tmp, emptyDir: {} }
{{- end }}
