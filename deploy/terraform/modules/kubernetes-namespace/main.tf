locals {
  # The one place where labels and annotations come from.
  labels      = var.labels
  annotations = var.annotations
  namespace   = kubernetes_namespace_v1.this.metadata[0].name
}

resource "kubernetes_namespace_v1" "this" {
  metadata {
    name        = var.namespace
    labels      = merge(local.labels, { "pod-security.kubernetes.io/enforce" = "restricted" })
    annotations = local.annotations
  }
}

resource "kubernetes_service_account_v1" "job" {
  automount_service_account_token = false

  metadata {
    name        = var.service_account.name
    namespace   = local.namespace
    labels      = local.labels
    annotations = merge(local.annotations, var.service_account.annotations)
  }
}

# What Spark's driver needs: its executors, in this namespace.
resource "kubernetes_role_v1" "job" {
  metadata {
    name        = "job"
    namespace   = local.namespace
    labels      = local.labels
    annotations = local.annotations
  }

  rule {
    api_groups = [""]
    resources  = ["configmaps", "persistentvolumeclaims", "pods", "services"]
    verbs      = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
  }

  rule {
    api_groups = [""]
    resources  = ["pods/log"]
    verbs      = ["get"]
  }
}

resource "kubernetes_role_binding_v1" "job" {
  metadata {
    name        = "job"
    namespace   = local.namespace
    labels      = local.labels
    annotations = local.annotations
  }

  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Role"
    name      = kubernetes_role_v1.job.metadata[0].name
  }

  subject {
    kind      = "ServiceAccount"
    name      = kubernetes_service_account_v1.job.metadata[0].name
    namespace = local.namespace
  }
}

resource "kubernetes_role_v1" "reader" {
  metadata {
    name        = "reader"
    namespace   = local.namespace
    labels      = local.labels
    annotations = local.annotations
  }

  # No secrets, and no configuration maps: those may hold what should not be read.
  rule {
    api_groups = [""]
    resources  = ["events", "persistentvolumeclaims", "pods", "pods/log", "services"]
    verbs      = ["get", "list", "watch"]
  }
}

resource "kubernetes_role_binding_v1" "reader" {
  for_each = toset(var.readers)

  metadata {
    name        = "reader-${substr(sha256(each.value), 0, 10)}"
    namespace   = local.namespace
    labels      = local.labels
    annotations = local.annotations
  }

  role_ref {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Role"
    name      = kubernetes_role_v1.reader.metadata[0].name
  }

  subject {
    api_group = "rbac.authorization.k8s.io"
    kind      = "Group"
    name      = each.value
  }
}

# Nobody outside the namespace reaches its pods.
resource "kubernetes_network_policy_v1" "ingress" {
  metadata {
    name        = "only-from-here"
    namespace   = local.namespace
    labels      = local.labels
    annotations = local.annotations
  }

  spec {
    policy_types = ["Ingress"]
    pod_selector {}

    ingress {
      from {
        pod_selector {}
      }
    }
  }
}
