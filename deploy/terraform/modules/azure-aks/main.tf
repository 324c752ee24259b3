data "azurerm_client_config" "current" {}

locals {
  # Names follow the rule for tags: what had to be changed or cut ends in digits of its hash, so two tenants never share one.
  wanted = "${var.tenant_id}-${var.environment}"
  plain  = trim(replace(lower(local.wanted), "/[^a-z0-9]+/", "-"), "-")
  fits   = local.plain == local.wanted && length(local.plain) <= 20 && can(regex("^[a-z]", local.plain))
  name   = local.fits ? local.plain : "x${trim(substr(local.plain, 0, 8), "-")}-${substr(sha256(local.wanted), 0, 10)}"

  # Vaults and storage accounts share one world of names of 24 characters, the latter without a dash.
  digits = substr(sha256("${data.azurerm_client_config.current.subscription_id}/${local.wanted}"), 0, 10)

  # The one place where tags come from.
  tags = var.tags

  # A key in a vault takes 15: the most important ones, in the order that PurSight cuts by, then the others by name.
  importance = [
    "ManagedBy", "TenantId", "DataClassification", "Sensitivity", "ContainsPII", "ContainsFinancial", "ContainsHealth",
    "ContainsSpecialCategory", "ContainsBiometric", "ContainsSecrets", "ContainsLocation", "ContainsChildren", "Regulations",
    "EncryptionRequired", "RetentionDays", "Owner", "Environment", "CostCenter", "Project", "Domain", "DataProduct", "Status",
    "SourceConnector", "TargetConnector", "Asset", "BusinessTags", "InfraProvider", "Platform", "TerraformWorkspace",
    "PurSightTrace", "LastModified", "CreatedAt",
  ]
  ranked   = concat([for key in local.importance : key if contains(keys(local.tags), key)], sort(setsubtract(keys(local.tags), local.importance)))
  key_tags = { for key in slice(local.ranked, 0, min(15, length(local.ranked))) : key => local.tags[key] }

  # Azure puts them on spot nodes by itself; unsaid, each plan would make the pool anew.
  spot_labels = var.enable_spot_instances ? { "kubernetes.azure.com/scalesetpriority" = "spot" } : {}

  namespace = var.namespace == "" ? local.name : var.namespace
  fewest    = coalesce(var.min_instances, var.instance_count)
  most      = coalesce(var.max_instances, max(1, local.fewest))
}

resource "azurerm_resource_group" "this" {
  name     = var.resource_group == "" ? local.name : var.resource_group
  location = var.region
  tags     = local.tags
}

resource "azurerm_kubernetes_cluster" "this" {
  #checkov:skip=CKV_AZURE_226:Not every size of machine has room for the system's disk; managed ones are encrypted with the own key.
  name                = local.name
  resource_group_name = azurerm_resource_group.this.name
  location            = var.region
  dns_prefix          = local.name
  node_resource_group = "${azurerm_resource_group.this.name}-nodes"
  sku_tier            = "Standard"
  tags                = local.tags

  private_cluster_enabled             = true
  private_cluster_public_fqdn_enabled = false
  run_command_enabled                 = false
  local_account_disabled              = true
  role_based_access_control_enabled   = true
  oidc_issuer_enabled                 = true
  workload_identity_enabled           = true
  azure_policy_enabled                = true
  cost_analysis_enabled               = true
  automatic_upgrade_channel           = "patch"
  node_os_upgrade_channel             = "NodeImage"
  image_cleaner_enabled               = true
  image_cleaner_interval_hours        = 48
  disk_encryption_set_id              = azurerm_disk_encryption_set.this.id

  azure_active_directory_role_based_access_control {
    azure_rbac_enabled     = true
    tenant_id              = data.azurerm_client_config.current.tenant_id
    admin_group_object_ids = var.admin_group_ids
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.cluster.id]
  }

  kubelet_identity {
    client_id                 = azurerm_user_assigned_identity.node.client_id
    object_id                 = azurerm_user_assigned_identity.node.principal_id
    user_assigned_identity_id = azurerm_user_assigned_identity.node.id
  }

  default_node_pool {
    name                         = "system"
    vm_size                      = "Standard_D4ds_v5"
    vnet_subnet_id               = local.subnet_id
    auto_scaling_enabled         = true
    min_count                    = 1
    max_count                    = 3
    max_pods                     = 60
    only_critical_addons_enabled = true
    host_encryption_enabled      = true
    node_public_ip_enabled       = false
    temporary_name_for_rotation  = "systemtmp"
    node_labels                  = var.kubernetes_labels
    tags                         = local.tags

    upgrade_settings {
      max_surge = "33%"
    }
  }

  # Pods have addresses of their own; what leaves goes by the subnet's routes, through the firewall. No public address anywhere.
  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
    outbound_type       = "userDefinedRouting"
    load_balancer_sku   = "standard"
  }

  key_vault_secrets_provider {
    secret_rotation_enabled = true
  }

  oms_agent {
    log_analytics_workspace_id      = azurerm_log_analytics_workspace.this.id
    msi_auth_for_monitoring_enabled = true
  }

  lifecycle {
    # The autoscaler moves it.
    ignore_changes = [default_node_pool[0].node_count]
  }

  depends_on = [
    azurerm_role_assignment.cluster_disks,
    azurerm_role_assignment.cluster_kubelet,
    azurerm_role_assignment.cluster_network,
    azurerm_role_assignment.cluster_routes,
    azurerm_subnet_route_table_association.nodes,
    azurerm_virtual_network_peering.hub,
  ]
}

resource "azurerm_kubernetes_cluster_node_pool" "jobs" {
  name                        = "jobs"
  kubernetes_cluster_id       = azurerm_kubernetes_cluster.this.id
  vm_size                     = var.instance_type
  vnet_subnet_id              = local.subnet_id
  mode                        = "User"
  auto_scaling_enabled        = true
  min_count                   = local.fewest
  max_count                   = local.most
  max_pods                    = 60
  priority                    = var.enable_spot_instances ? "Spot" : "Regular"
  eviction_policy             = var.enable_spot_instances ? "Delete" : null
  host_encryption_enabled     = true
  node_public_ip_enabled      = false
  temporary_name_for_rotation = var.enable_spot_instances ? null : "jobstmp"
  node_labels                 = merge(var.kubernetes_labels, local.spot_labels)
  node_taints                 = [for key, value in local.spot_labels : "${key}=${value}:NoSchedule"]
  tags                        = local.tags

  lifecycle {
    ignore_changes = [node_count]
  }
}

module "namespace" {
  source = "../kubernetes-namespace"

  namespace   = local.namespace
  labels      = var.kubernetes_labels
  annotations = var.kubernetes_annotations
  readers     = var.readers
  service_account = {
    name        = "job"
    annotations = { "azure.workload.identity/client-id" = azurerm_user_assigned_identity.job.client_id }
  }

  depends_on = [azurerm_kubernetes_cluster_node_pool.jobs]
}
