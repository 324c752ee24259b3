// A provider that knows a real provider's schema and no cloud: it checks names and types of arguments as the real one does, plans
// what a first apply would make, with everything that only the cloud knows left unknown, and refuses to apply.
//
// It is installed under the real one's name, beside `schema.json` (see schemas.py).
package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

type attribute struct {
	Type                         json.RawMessage
	Required, Optional, Computed bool
}

type nested struct {
	Nesting string // list, set or single
	Block   *block
}

type block struct {
	Attributes map[string]attribute
	Blocks     map[string]nested
}

type schema struct {
	Provider        *block
	Resources, Data map[string]*block
	// What data sources answer: kind, attribute, value. What is not here is "stub", 1, true or empty.
	Answers map[string]map[string]any
}

func (a attribute) kind() tftypes.Type {
	kind, err := tftypes.ParseJSONType(a.Type) //nolint:staticcheck // the way to read a type out of a file
	if err != nil {
		panic(err)
	}
	return kind
}

var nestings = map[string]tfprotov5.SchemaNestedBlockNestingMode{
	"list": tfprotov5.SchemaNestedBlockNestingModeList, "set": tfprotov5.SchemaNestedBlockNestingModeSet,
	"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
}

func (b *block) proto() *tfprotov5.SchemaBlock {
	made := &tfprotov5.SchemaBlock{}
	for name, a := range b.Attributes {
		made.Attributes = append(made.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: a.kind(), Required: a.Required, Optional: a.Optional, Computed: a.Computed})
	}
	for name, n := range b.Blocks {
		made.BlockTypes = append(made.BlockTypes, &tfprotov5.SchemaNestedBlock{TypeName: name, Nesting: nestings[n.Nesting], Block: n.Block.proto()})
	}
	return made
}

func (b *block) kind() tftypes.Type { return (&tfprotov5.Schema{Block: b.proto()}).ValueType() }

// The value with each computed attribute that the configuration leaves out replaced by what `fill` says.
func (b *block) filled(value tftypes.Value, path string, fill func(string, tftypes.Type) tftypes.Value) tftypes.Value {
	if value.IsNull() || !value.IsKnown() {
		return value
	}
	fields := map[string]tftypes.Value{}
	check(value.As(&fields))
	for name, a := range b.Attributes {
		if a.Computed && fields[name].IsNull() {
			fields[name] = fill(path+name, a.kind())
		}
	}
	for name, n := range b.Blocks {
		fields[name] = n.filled(fields[name], path+name+".", fill)
	}
	return tftypes.NewValue(value.Type(), fields)
}

func (n nested) filled(value tftypes.Value, path string, fill func(string, tftypes.Type) tftypes.Value) tftypes.Value {
	if value.IsNull() || !value.IsKnown() {
		return value
	}
	if n.Nesting == "single" {
		return n.Block.filled(value, path, fill)
	}
	items := []tftypes.Value{}
	check(value.As(&items))
	for number, item := range items {
		items[number] = n.Block.filled(item, path, fill)
	}
	return tftypes.NewValue(value.Type(), items)
}

func unknown(_ string, kind tftypes.Type) tftypes.Value { return tftypes.NewValue(kind, tftypes.UnknownValue) }

func (s *schema) answer(kindOfData string) func(string, tftypes.Type) tftypes.Value {
	return func(path string, kind tftypes.Type) tftypes.Value {
		if known, is := s.Answers[kindOfData][path]; is {
			text, err := json.Marshal(known)
			check(err)
			value, err := tftypes.ValueFromJSON(text, kind) //nolint:staticcheck
			check(err)
			return value
		}
		switch {
		case kind.Is(tftypes.String):
			return tftypes.NewValue(kind, "stub")
		case kind.Is(tftypes.Number):
			return tftypes.NewValue(kind, 1)
		case kind.Is(tftypes.Bool):
			return tftypes.NewValue(kind, true)
		case kind.Is(tftypes.Map{}):
			return tftypes.NewValue(kind, map[string]tftypes.Value{})
		case kind.Is(tftypes.List{}), kind.Is(tftypes.Set{}):
			return tftypes.NewValue(kind, []tftypes.Value{})
		}
		return tftypes.NewValue(kind, nil)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func packed(kind tftypes.Type, value tftypes.Value) *tfprotov5.DynamicValue {
	made, err := tfprotov5.NewDynamicValue(kind, value)
	check(err)
	return &made
}

// The requests that are not named here are refused by the embedded, empty server.
type server struct {
	tfprotov5.ProviderServer
	schema schema
}

func (s *server) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	made := &tfprotov5.GetMetadataResponse{ServerCapabilities: &tfprotov5.ServerCapabilities{}}
	for name := range s.schema.Resources {
		made.Resources = append(made.Resources, tfprotov5.ResourceMetadata{TypeName: name})
	}
	for name := range s.schema.Data {
		made.DataSources = append(made.DataSources, tfprotov5.DataSourceMetadata{TypeName: name})
	}
	return made, nil
}

func (s *server) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	made := &tfprotov5.GetProviderSchemaResponse{
		Provider:          &tfprotov5.Schema{Block: s.schema.Provider.proto()},
		ResourceSchemas:   map[string]*tfprotov5.Schema{},
		DataSourceSchemas: map[string]*tfprotov5.Schema{},
	}
	for name, b := range s.schema.Resources {
		made.ResourceSchemas[name] = &tfprotov5.Schema{Block: b.proto()}
	}
	for name, b := range s.schema.Data {
		made.DataSourceSchemas[name] = &tfprotov5.Schema{Block: b.proto()}
	}
	return made, nil
}

func (s *server) PrepareProviderConfig(_ context.Context, r *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: r.Config}, nil
}

func (s *server) ConfigureProvider(context.Context, *tfprotov5.ConfigureProviderRequest) (*tfprotov5.ConfigureProviderResponse, error) {
	return &tfprotov5.ConfigureProviderResponse{}, nil
}

func (s *server) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func (s *server) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (s *server) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

func (s *server) PlanResourceChange(_ context.Context, r *tfprotov5.PlanResourceChangeRequest) (*tfprotov5.PlanResourceChangeResponse, error) {
	b := s.schema.Resources[r.TypeName]
	proposed, err := r.ProposedNewState.Unmarshal(b.kind())
	check(err)
	return &tfprotov5.PlanResourceChangeResponse{PlannedState: packed(b.kind(), b.filled(proposed, "", unknown))}, nil
}

func (s *server) ReadDataSource(_ context.Context, r *tfprotov5.ReadDataSourceRequest) (*tfprotov5.ReadDataSourceResponse, error) {
	b := s.schema.Data[r.TypeName]
	config, err := r.Config.Unmarshal(b.kind())
	check(err)
	return &tfprotov5.ReadDataSourceResponse{State: packed(b.kind(), b.filled(config, "", s.schema.answer(r.TypeName)))}, nil
}

func main() {
	own, err := os.Executable()
	check(err)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(own), "schema.json"))
	check(err)
	made := &server{}
	check(json.Unmarshal(text, &made.schema))
	name := strings.TrimPrefix(filepath.Base(own), "terraform-provider-")
	check(tf5server.Serve("registry.opentofu.org/hashicorp/"+name, func() tfprotov5.ProviderServer { return made }))
}
