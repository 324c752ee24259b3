# Four identities, each with what it needs. Role assignments and federated credentials take no tags at Azure.

resource "azurerm_user_assigned_identity" "cluster" {
  name                = "${local.name}-cluster"
  resource_group_name = azurerm_resource_group.this.name
  location            = var.region
  tags                = local.tags
}

resource "azurerm_user_assigned_identity" "node" {
  name                = "${local.name}-node"
  resource_group_name = azurerm_resource_group.this.name
  location            = var.region
  tags                = local.tags
}

resource "azurerm_user_assigned_identity" "job" {
  name                = "${local.name}-job"
  resource_group_name = azurerm_resource_group.this.name
  location            = var.region
  tags                = local.tags
}

resource "azurerm_user_assigned_identity" "encryption" {
  name                = "${local.name}-encryption"
  resource_group_name = azurerm_resource_group.this.name
  location            = var.region
  tags                = local.tags
}

# The cluster joins nodes to its subnet, reads its routes, gives nodes their identity, and uses the disks' encryption.

resource "azurerm_role_assignment" "cluster_network" {
  scope                = local.subnet_id
  role_definition_name = "Network Contributor"
  principal_id         = azurerm_user_assigned_identity.cluster.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "cluster_routes" {
  count = local.own_network ? 1 : 0

  scope                = azurerm_route_table.nodes[0].id
  role_definition_name = "Network Contributor"
  principal_id         = azurerm_user_assigned_identity.cluster.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "cluster_kubelet" {
  scope                = azurerm_user_assigned_identity.node.id
  role_definition_name = "Managed Identity Operator"
  principal_id         = azurerm_user_assigned_identity.cluster.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "cluster_disks" {
  scope                = azurerm_disk_encryption_set.this.id
  role_definition_name = "Reader"
  principal_id         = azurerm_user_assigned_identity.cluster.principal_id
  principal_type       = "ServicePrincipal"
}

# Disks and storage wrap and unwrap with this one key's vault.
resource "azurerm_role_assignment" "encryption" {
  scope                = azurerm_key_vault.this.id
  role_definition_name = "Key Vault Crypto Service Encryption User"
  principal_id         = azurerm_user_assigned_identity.encryption.principal_id
  principal_type       = "ServicePrincipal"
}

# Who applies the module makes the key.
resource "azurerm_role_assignment" "operator_keys" {
  scope                = azurerm_key_vault.this.id
  role_definition_name = "Key Vault Crypto Officer"
  principal_id         = data.azurerm_client_config.current.object_id
}

# The job reads and writes its own container and those that it was given, and is one account of Kubernetes.

resource "azurerm_role_assignment" "job" {
  scope                = azurerm_storage_container.work.id
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = azurerm_user_assigned_identity.job.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "job_data" {
  for_each = toset(var.data_container_ids)

  scope                = each.value
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = azurerm_user_assigned_identity.job.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_federated_identity_credential" "job" {
  name                = "job"
  resource_group_name = azurerm_resource_group.this.name
  parent_id           = azurerm_user_assigned_identity.job.id
  issuer              = azurerm_kubernetes_cluster.this.oidc_issuer_url
  subject             = "system:serviceaccount:${local.namespace}:job"
  audience            = ["api://AzureADTokenExchange"]
}
