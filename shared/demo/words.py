"""The words that the sample company is made of."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


GIVEN = {
    "en": _words(
        "Alice|Martin|Priya|Jamal|Grace|Oliver|Hannah|Ethan|Chloe|Samuel|Ruth|Noah|Imogen|Caleb|Tessa|Dmitri|Yuki|Leila|Omar|Fiona"
    ),
    "de": _words("Anneliese|Jürgen|Käthe|Wolfgang|Sabine|Torsten|Heike|Ulrich|Björn|Mareike|Detlef|Gudrun|Lutz|Silke|Jörg|Frauke"),
    "fr": _words("Amélie|Benoît|Chantal|Didier|Élodie|François|Géraldine|Hervé|Inès|Jean-Luc|Maëlle|Noël|Océane|Thibault|Véronique"),
    "es": _words("Álvaro|Begoña|Carlos|Dolores|Íñigo|Jimena|Lucía|Manuel|Nuria|Ramón|Ximena|Rocío|Sergio|Teresa|Víctor"),
    "pt": _words("Afonso|Beatriz|Catarina|Duarte|Filipa|Gonçalo|Inês|João|Luísa|Matilde|Rui|Simão|Tomás|Vasco|Leonor"),
}
FAMILY = {
    "en": _words(
        "Abernathy|Blackwood|Carver|Dunmore|Ellison|Fairchild|Goodwin|Hargrove|Ibrahim|Jennings|Kowalski|Lindqvist|Mbeki|Nakamura|O'Connell|Patel"
    ),
    "de": _words(
        "Achtermann|Brandstätter|Dreyer|Eichhorn|Fröhlich|Großmann|Hübner|Jahnke|Krüger|Lehnhardt|Müllerschön|Oberländer|Pfeifer|Süßmilch"
    ),
    "fr": _words("Aubert|Beaumont|Chevalier|Dufour|Étienne|Fontaine|Guérin|Lefèbvre|Moreau|Pelletier|Roussel|Tessier|Vasseur|d'Arcy"),
    "es": _words(
        "Aguilar Ríos|Benítez Sola|Castaño Vega|Domínguez Paz|Echeverría Gil|Fuentes Mora|Ibáñez Cano|Núñez Soto|Quesada Leal|Zúñiga Prat"
    ),
    "pt": _words("Almeida|Barbosa|Coutinho|Esteves|Figueiredo|Guimarães|Lourenço|Magalhães|Nóbrega|Quintela|Sequeira|Vasconcelos"),
}
CITY = {
    "en": _words("Springfield|Fort Wayne|Santa Rosa|Knoxville|Tacoma|Boulder|Savannah|Duluth|Amarillo|Eugene"),
    "de": _words("Göttingen|Lübeck|Würzburg|Osnabrück|Chemnitz|Trier|Kassel|Bad Homburg|Halle an der Saale"),
    "fr": _words("Besançon|Nîmes|Saint-Étienne|Rouen|Angers|Perpignan|La Rochelle|Metz"),
    "es": _words("Cáceres|Logroño|Vigo|Alcalá de Henares|Jaén|Santander|Lérida"),
    "pt": _words("Évora|Guimarães|Setúbal|Vila Nova de Gaia|Faro|Covilhã|Aveiro"),
}
STREET = {
    "en": _words("Larkspur Lane|Old Mill Road|Juniper Avenue|W 4th Street|Harbor Blvd|Cedar Court"),
    "de": _words("Lindenallee|Am Mühlgraben|Goethestraße|Kirchweg|Bahnhofstr.|Auf der Höhe"),
    "fr": _words("rue des Lilas|avenue Jean Jaurès|boulevard de la Gare|impasse du Moulin|place d'Armes"),
    "es": _words("Calle Mayor|Avda. de la Constitución|Plaza del Pilar|Paseo Marítimo|C/ Olivos"),
    "pt": _words("Rua das Flores|Avenida da Liberdade|Largo do Carmo|Travessa do Sol|Praça Velha"),
}
FIRM = _words(
    "Northwind Traders|Hübner & Söhne GmbH|Ateliers Roussel SARL|Ibérica Textil S.L.|Lusomar Lda|Bluepeak Systems Inc.|Quarry Lane LLC|Sunfield Foods"
)
PRODUCT = _words(
    "Trail Lantern|Oak Side Table|Ceramic Mug 35cl|Merino Scarf|Folding Bike Pump|Desk Organiser XL|Garden Hose 20 m|Wall Clock Nordic|Rain Jacket|Spring Promotion"
)
SENTENCE = _words(
    "Arrived on time and well packed|Please call before delivery|Colour differs slightly from the picture|Needs a second look next week|"
    "Alles in bester Ordnung|Livraison rapide et soignée|Todo perfecto, gracias|Muito satisfeito com a compra|Quarterly planning workshop|Replaced under warranty"
)
ILLNESS = _words("Type 2 diabetes|Seasonal rhinitis|Hypertension|Sprained ankle|Iron deficiency anaemia|Migraine with aura|Skin rash")
DRUG = _words("Metformin|Ibuprofen|Lisinopril|Amoxicillin|Salbutamol|Atorvastatin|Penicillin|Latex")
LABTEST = _words("HbA1c|Haemoglobin|Creatinine|TSH|Potassium|LDL cholesterol")
CHOICES: dict[str, tuple[str, ...]] = {
    "sex": _words("F|M|X"),
    "lang": _words("en|de|fr|es|pt"),
    "segment": _words("bronze|silver|gold|trial|daily|weekly|primary|secondary"),
    "addrkind": _words("billing|shipping|former"),
    "state_us": _words("IN|CA|TN|WA|CO|GA|MN|TX|OR"),
    "country": _words("US|DE|FR|ES|PT|GB|CH|AT"),
    "title": _words(
        "Warehouse Lead|Controller|Software Engineer|Nurse|Sales Associate|Buchhalter|Comptable|Jefe de ventas|Gestora de conta"
    ),
    "channel": _words("web|store|phone|partner|newsletter"),
    "status": _words("open|closed|pending|paid|failed|shipped"),
    "priority": _words("low|normal|high|urgent"),
    "purpose": _words("marketing|analytics|profiling|third_party"),
    "tz": _words("Europe/Berlin|America/New_York|Europe/Lisbon|UTC"),
    "currency": _words("USD|EUR|GBP|CHF"),
    "color": _words("red|navy|sand|black|forest"),
    "paymethod": _words("card|transfer|wallet|cash"),
    "carrier": _words("ParcelGo|FastShip|Posta|BlueVan"),
    "region": _words("North|South|Galicia|Bavaria|Midwest|Occitanie"),
    "dept": _words("Finance|Logistics|Platform|Care|Vertrieb"),
    "marital": _words("single|married|divorced|widowed"),
    "faith": _words("catholic|protestant|muslim|jewish|buddhist|none"),
    "relation": _words("mother|brother|partner|friend"),
    "blood": _words("A+|A-|B+|0+|0-|AB+"),
    "labunit": _words("mmol/L|g/dL|mg/L|%"),
    "salutation": _words("Herr|Frau|Divers"),
    "httpverb": _words("GET|POST|PUT|DELETE"),
    "env": _words("prod|staging|dev"),
    "brand": _words("Volvera|Renova|Teslar|Skadi"),
    "ethnic": _words("Asian|Black|Hispanic|White|Mixed"),
    "party": _words("Greens|Liberals|Conservatives|Social Democrats"),
}
