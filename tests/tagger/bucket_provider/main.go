// A provider of one resource, aws_s3_bucket, on the real plugin framework: made, read, changed and deleted at whatever speaks S3 at
// AWS_ENDPOINT_URL. It proves what OpenTofu does with us in between, not what the real provider does.
package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	providerschema "github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type aws struct{}

func (aws) Metadata(_ context.Context, _ provider.MetadataRequest, r *provider.MetadataResponse) {
	r.TypeName = "aws"
}
func (aws) Schema(_ context.Context, _ provider.SchemaRequest, r *provider.SchemaResponse) {
	r.Schema = providerschema.Schema{}
}
func (aws) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}
func (aws) DataSources(context.Context) []func() datasource.DataSource                        { return nil }
func (aws) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return bucket{} }}
}

type bucket struct{}
type state struct {
	Bucket types.String `tfsdk:"bucket"`
	Tags   types.Map    `tfsdk:"tags"`
}
type tag struct{ Key, Value string }
type tagging struct {
	XMLName xml.Name `xml:"Tagging"`
	TagSet  struct {
		Tag []tag
	}
}

func (bucket) Metadata(_ context.Context, _ resource.MetadataRequest, r *resource.MetadataResponse) {
	r.TypeName = "aws_s3_bucket"
}
func (bucket) Schema(_ context.Context, _ resource.SchemaRequest, r *resource.SchemaResponse) {
	r.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"bucket": schema.StringAttribute{Required: true, PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()}},
		"tags":   schema.MapAttribute{Optional: true, ElementType: types.StringType},
	}}
}

func call(method, path string, body []byte) (int, []byte, error) {
	request, err := http.NewRequest(method, os.Getenv("AWS_ENDPOINT_URL")+"/"+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode > 299 && answer.StatusCode != 404 {
		err = fmt.Errorf("operation error S3: %s: %d %s", method, answer.StatusCode, text)
	}
	return answer.StatusCode, text, err
}

func write(c context.Context, wanted state) error {
	tags := map[string]string{}
	wanted.Tags.ElementsAs(c, &tags, false)
	body := tagging{}
	for key, value := range tags {
		body.TagSet.Tag = append(body.TagSet.Tag, tag{key, value})
	}
	text, err := xml.Marshal(body)
	if err == nil {
		_, _, err = call("PUT", wanted.Bucket.ValueString()+"?tagging", text)
	}
	return err
}

func (bucket) Create(c context.Context, q resource.CreateRequest, r *resource.CreateResponse) {
	var wanted state
	r.Diagnostics.Append(q.Plan.Get(c, &wanted)...)
	if _, _, err := call("PUT", wanted.Bucket.ValueString(), nil); err != nil {
		r.Diagnostics.AddError("creating S3 Bucket", err.Error())
		return
	}
	r.Diagnostics.Append(r.State.Set(c, &wanted)...)
	if err := write(c, wanted); err != nil {
		r.Diagnostics.AddError("tagging S3 Bucket", err.Error())
	}
}

func (bucket) Read(c context.Context, q resource.ReadRequest, r *resource.ReadResponse) {
	var known state
	r.Diagnostics.Append(q.State.Get(c, &known)...)
	status, _, err := call("HEAD", known.Bucket.ValueString(), nil)
	if err == nil && status == 404 {
		r.State.RemoveResource(c)
		return
	}
	_, text, more := call("GET", known.Bucket.ValueString()+"?tagging", nil)
	found, tags := tagging{}, map[string]string{}
	if err != nil || more != nil {
		r.Diagnostics.AddError("reading S3 Bucket", fmt.Sprint(err, more))
		return
	}
	_ = xml.Unmarshal(text, &found)
	for _, each := range found.TagSet.Tag {
		tags[each.Key] = each.Value
	}
	known.Tags, _ = types.MapValueFrom(c, types.StringType, tags)
	r.Diagnostics.Append(r.State.Set(c, &known)...)
}

func (bucket) Update(c context.Context, q resource.UpdateRequest, r *resource.UpdateResponse) {
	var wanted state
	r.Diagnostics.Append(q.Plan.Get(c, &wanted)...)
	if err := write(c, wanted); err != nil {
		r.Diagnostics.AddError("tagging S3 Bucket", err.Error())
		return
	}
	r.Diagnostics.Append(r.State.Set(c, &wanted)...)
}

func (bucket) Delete(c context.Context, q resource.DeleteRequest, r *resource.DeleteResponse) {
	var known state
	r.Diagnostics.Append(q.State.Get(c, &known)...)
	if _, _, err := call("DELETE", known.Bucket.ValueString(), nil); err != nil {
		r.Diagnostics.AddError("deleting S3 Bucket", err.Error())
	}
}

func main() {
	_ = providerserver.Serve(context.Background(), func() provider.Provider { return aws{} },
		providerserver.ServeOpts{Address: "registry.opentofu.org/hashicorp/aws"})
}
